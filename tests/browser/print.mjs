// Prints a page.

/** The width of A4 without margins of 12 mm, in CSS pixels. */
const WIDTH = 703;
/** The height of A4 without these margins, in CSS pixels. */
const HEIGHT = 1032;

/** Returns the findings on paper, and the number of pages. */
export async function print(page) {
  await page.setViewport({ width: WIDTH, height: HEIGHT });
  await page.emulateMediaType('print');
  const [findings, height] = await page.evaluate((width) => [
    [...look.closedOnPaper(), ...look.layout(width)], document.documentElement.scrollHeight,
  ], WIDTH);
  const margin = '12mm';
  const pdf = await page.pdf({ format: 'A4', printBackground: true, margin: { top: margin, right: margin, bottom: margin, left: margin } });
  const pages = Buffer.from(pdf).toString('latin1').match(/\/Type\s*\/Page\b/g)?.length ?? 0;
  // What is kept together leaves gaps at the ends of pages.
  const most = 1 + Math.ceil((2 * height) / HEIGHT);
  if (pages < 1 || pages > most) findings.push(`print: ${pages} pages, expected 1 to ${most} for a height of ${height} px`);
  return { findings, pages };
}
