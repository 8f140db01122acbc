// Opens each page `*.html` of a directory in Chromium, in three widths, light and dark: `open.mjs <directory> [<images>]`.
//
// It prints a line for each page and each finding, and exits with 1 if there is one. Screenshots of all views are
// stored as <images>/<page>-<width>-<scheme>.png, by default in .local/reports.

import { mkdirSync, readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';

import { ROOT, withChromium } from './chromium.mjs';
import { examine } from './examine.mjs';

/** Seconds that one page may take. A view takes less than one on two cores. */
const PAGE_S = 60;

const [directory, images] = [resolve(process.argv[2] ?? ''), resolve(process.argv[3] ?? join(ROOT, '.local/reports'))];
const pages = readdirSync(directory).filter((file) => file.endsWith('.html')).sort();
if (pages.length === 0) fail(`${directory} has no page *.html`);
setTimeout(() => fail(`the pages took more than ${PAGE_S} s each`), pages.length * PAGE_S * 1000).unref();
mkdirSync(images, { recursive: true });

let found = 0;
await withChromium(async (browser) => {
  for (const page of pages) {
    const { findings, views, printed, seconds } = await examine(browser, join(directory, page), images);
    const spent = `${seconds.toFixed(1)} s, of which ${(seconds / views).toFixed(2)} s for each of ${views} views`;
    console.log(`${page}: ${findings.length} findings, ${printed} printed pages, ${spent}`);
    for (const finding of findings) console.log(`  ${finding}`);
    found += findings.length;
  }
});
process.exitCode = found > 0 ? 1 : 0;

/** Ends the process. puppeteer then ends the browser. */
function fail(message) {
  console.error(`error: ${message}`);
  process.exit(1);
}
