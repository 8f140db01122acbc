// Uses a page by keyboard alone: Tab reaches every control, its focus is visible, Enter and Space open details.

/** The most controls of a page. A reader would not press Tab more often. */
const MOST = 300;

/** Returns the findings, and leaves all details open that it reached. */
export async function keyboard(page) {
  const findings = [];
  await page.evaluate(() => look.begin());
  for (let stops = 0; ; stops += 1) {
    if (stops === MOST) return [...findings, `keyboard: there are more than ${MOST} controls, or Tab does not leave the page`];
    await page.keyboard.press('Tab');
    const at = await page.evaluate(() => look.focused());
    if (at.over) break;
    findings.push(...at.findings);
    if (at.opens) findings.push(...(await toggle(page)));
  }
  return [...findings, ...(await page.evaluate(() => look.missed()))];
}

/** Presses Enter and Space on a summary, which must open and close its details, and leaves them open. */
async function toggle(page) {
  const findings = [];
  for (const key of ['Enter', 'Space']) {
    const before = await page.evaluate(() => look.isOpen());
    await page.keyboard.press(key);
    const after = await page.evaluate(() => look.isOpen());
    if (before === after) findings.push(`keyboard: ${key} does not open or close the details ${await page.evaluate(() => look.name())}`);
  }
  if (!(await page.evaluate(() => look.isOpen()))) await page.keyboard.press('Enter');
  return findings;
}
