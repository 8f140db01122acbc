// Examines a page in all views, and with the keyboard, on paper and without its Content-Security-Policy.

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, join } from 'node:path';
import { pathToFileURL } from 'node:url';

import { keyboard } from './keyboard.mjs';
import { print } from './print.mjs';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const TAGS = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice'];
/** The functions that run in the page, as `look`. */
const LOOK = readFileSync(new URL('look.js', import.meta.url), 'utf8');

const WIDTHS = [360, 768, 1280];
const SCHEMES = ['light', 'dark'];
/** A page must be as readable without its animations, which would make the screenshots differ. */
const STILL = { name: 'prefers-reduced-motion', value: 'reduce' };
/** The views in which the keyboard is used as well. */
const BY_KEYBOARD = ['360 light', '1280 dark'];
/** Levels of console messages that are findings. */
const LOUD = ['error', 'warn', 'warning', 'assert'];

/** Returns the findings of a page as `<views>: <kind>: <what>`, and the numbers of views and of printed pages. */
export async function examine(browser, path, screenshots) {
  const start = performance.now();
  const places = new Map();
  const note = (place, finding) => places.set(finding, [...(places.get(finding) ?? []), place]);
  const views = WIDTHS.flatMap((width) => SCHEMES.map((scheme) => ({ width, scheme, name: `${width} ${scheme}` })));
  for (const view of views) {
    const image = join(screenshots, `${basename(path, '.html')}-${view.width}-${view.scheme}.png`);
    for (const finding of await inView(browser, path, view, image)) note(view.name, finding);
  }
  const paper = await onPaper(browser, path);
  for (const finding of paper.findings) note('on paper', finding);
  for (const finding of await withoutPolicy(browser, path)) note('without its policy', finding);
  const seconds = (performance.now() - start) / 1000;
  const place = (of) => (of.length === views.length ? 'all views' : of.join(', '));
  const findings = [...places].map(([finding, of]) => `${place(of)}: ${finding}`);
  return { findings, views: views.length, printed: paper.pages, seconds };
}

/** Returns the findings of one view. The image shows the page as it is before a reader does anything. */
const inView = (browser, path, { width, scheme, name }, image) =>
  withPage(browser, path, { width, scheme }, async (page) => {
    await page.screenshot({ path: image, fullPage: true, optimizeForSpeed: true });
    const found = await page.evaluate((width) => [...look.markup(), ...look.layout(width)], width);
    if (BY_KEYBOARD.includes(name)) found.push(...(await keyboard(page)));
    // Closed details have no layout, so the rest needs them open.
    found.push(...(await page.evaluate((width) => (look.open(), [...look.layout(width), ...look.contrast()]), width)));
    await page.evaluate(AXE);
    const run = (tags) => axe.run({ runOnly: tags, resultTypes: ['violations'], iframes: false });
    const { violations } = await page.evaluate(run, TAGS);
    return [...found, ...violations.map(violation)];
  });

/** Returns the findings on paper and the number of printed pages. */
async function onPaper(browser, path) {
  let pages = 0;
  const findings = await withPage(browser, path, { width: 1280, scheme: 'light' }, async (page) => {
    const printed = await print(page);
    pages = printed.pages;
    return printed.findings;
  });
  return { findings, pages };
}

/** Opens the page as a browser without a policy would, so that nothing but the escaping of texts holds scripts back. */
const withoutPolicy = (browser, path) =>
  withPage(browser, path, { width: 1280, scheme: 'light', policy: false }, async (page) => {
    await page.evaluate(() => look.open());
    return [];
  });

/** Opens the page, calls `use` with it, and returns what `use` and the browser found. */
async function withPage(browser, path, { width, scheme, policy = true }, use) {
  const page = await browser.newPage();
  const findings = new Set();
  try {
    await page.setViewport({ width, height: 800, isMobile: width < 768, hasTouch: width < 768 });
    await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }, STILL]);
    await page.setBypassCSP(!policy);
    await listen(page, pathToFileURL(path).href, findings);
    await page.goto(pathToFileURL(path).href, { waitUntil: 'load', timeout: 20_000 });
    await page.evaluate(LOOK);
    for (const finding of await use(page)) findings.add(finding);
    const canary = await page.evaluate(() => '__pwned' in window);
    if (canary) findings.add('script: window.__pwned is set');
  } finally {
    await page.close();
  }
  return findings;
}

/** Adds what the page writes to the console, asks for and shows. Refuses every request except the one for the page. */
async function listen(page, url, findings) {
  page.on('console', (message) => {
    if (LOUD.includes(message.type())) findings.add(`console: ${message.type()}: ${line(message.text())}`);
  });
  page.on('pageerror', (error) => findings.add(`console: ${line(String(error))}`));
  page.on('dialog', (dialog) => {
    findings.add(`script: shows a dialog: ${line(dialog.message())}`);
    dialog.dismiss().catch(() => {});
  });
  await page.setRequestInterception(true);
  page.on('request', (request) => {
    // The policy decides about data, and a refusal is an error on the console.
    if (request.url().startsWith('data:')) return;
    if (request.isNavigationRequest() && request.url() === url) return void request.continue().catch(() => {});
    findings.add(`request: ${request.resourceType()} ${line(request.url())}`);
    request.abort('blockedbyclient').catch(() => {});
  });
}

/** Describes a violation of a rule of axe with its first elements. */
function violation({ id, help, nodes }) {
  const first = nodes.slice(0, 3).map((node) => `${node.target.join(' ')} (${line(node.any[0]?.message ?? '')})`);
  return `axe ${id}: ${help}, ${nodes.length} times: ${first.join('; ')}`;
}

const line = (text) => text.replace(/\s+/g, ' ').slice(0, 200);
