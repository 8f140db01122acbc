// Tests the examination of pages itself: each page of faults/ has one fault, which must be found, and nothing else.

import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { ROOT, withChromium } from './chromium.mjs';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const OPEN = here('open.mjs');
const LOCAL = join(ROOT, '.local');
const IMAGES = join(LOCAL, 'reports/faults');
const hostile = JSON.parse(readFileSync(here('hostile.json'), 'utf8'));
const pages = readdirSync(here('faults'));

/** Calls `use` with a new directory and removes it. */
const withDirectory = async (use) => {
  mkdirSync(LOCAL, { recursive: true });
  const directory = mkdtempSync(join(LOCAL, 'pages-'));
  try {
    return await use(directory);
  } finally {
    rmSync(directory, { recursive: true });
  }
};

/** Opens the pages of a directory, and returns the exit code and the output. */
const open = async (...args) => {
  try {
    const { stdout } = await promisify(execFile)(process.execPath, [OPEN, ...args]);
    return { code: 0, stdout, stderr: '' };
  } catch ({ code, stdout, stderr }) {
    return { code, stdout, stderr };
  }
};

/** Returns the kinds of the findings of each page, such as `markup`. */
const kinds = (output) => {
  const found = {};
  let page;
  for (const line of output.trim().split('\n')) {
    const finding = /^ {2}[^:]*: ([^:]*): /.exec(line);
    if (finding) found[page].add(finding[1]);
    else found[(page = /^(\S+\.html): /.exec(line)[1])] = new Set();
  }
  return Object.fromEntries(Object.entries(found).map(([name, set]) => [name, [...set].sort().join(', ') || 'nothing']));
};

test('the fault of each page is found, and nothing else', async () => {
  const { code, stdout, stderr } = await open(here('faults'), IMAGES);
  assert.equal(code, 1, stdout + stderr);
  const expected = (page) => /<!-- finds: (.*) -->/.exec(readFileSync(here(`faults/${page}`), 'utf8'))[1];
  assert.deepEqual(kinds(stdout), Object.fromEntries(pages.map((page) => [page, expected(page)])), stdout);
  for (const view of ['360-light', '360-dark', '768-light', '768-dark', '1280-light', '1280-dark']) {
    assert.ok(existsSync(join(IMAGES, `whole-${view}.png`)), view);
  }
});

test('a directory without a page is an error', async () => {
  const { code, stderr } = await withDirectory((directory) => open(directory));
  assert.equal(code, 1);
  assert.match(stderr, /^error: .*pages-.* has no page \*\.html\n$/);
});

/** Returns the ids of the processes that a process started. */
const children = (parent) => readdirSync('/proc').filter((pid) => {
  // The name of a process is in parentheses, and may have spaces.
  const stat = /^\d+$/.test(pid) && existsSync(`/proc/${pid}/stat`) ? readFileSync(`/proc/${pid}/stat`, 'utf8') : '';
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1] === String(parent);
});

/** Waits until `is` returns true. The runner limits the time of a test. */
const until = async (is) => {
  while (!is()) await new Promise((resolve) => setTimeout(resolve, 50));
};

test('the browser ends even if the process that opened it is killed', { timeout: 60_000 }, async () => {
  const opening = spawn(process.execPath, [OPEN, here('faults'), IMAGES], { stdio: ['ignore', 'pipe', 'inherit'] });
  // With its first line it has examined a page, so the browser is at work.
  await new Promise((resolve) => opening.stdout.once('data', resolve));
  const browsers = children(opening.pid);
  assert.equal(browsers.length, 1);
  opening.kill('SIGKILL');
  await until(() => browsers.every((pid) => !existsSync(`/proc/${pid}`)));
});

/** The places of a page where a text can be markup, around the text. */
const PLACES = {
  text: ['<p>', '</p>'],
  'double quotes': ['<p title="', '">x</p>'],
  'single quotes': ["<p title='", "'>x</p>"],
  'no quotes': ['<p title=', '>x</p>'],
  address: ['<a href="', '">x</a>'],
  style: ['<style>', '</style>'],
  title: ['<title>', '</title>'],
  textarea: ['<textarea>', '</textarea>'],
  comment: ['<!--', '-->'],
  cdata: ['<svg><![CDATA[', ']]></svg>'],
};

test('each hostile text is markup where it is meant to be, unless it is escaped', async () => {
  const texts = hostile.filter(({ where }) => where !== 'nothing');
  const cases = texts.flatMap(({ where, texts }) => texts.map((text) => [text, ...PLACES[where]]));
  const harmless = await withChromium(async (browser) => (await browser.newPage()).evaluate((cases) => {
    const parse = (html) => new DOMParser().parseFromString(html, 'text/html');
    // A text is markup if there are other elements or attributes than around a harmless text, or if it is an address
    // that runs something.
    const shape = (html) => [...parse(html).querySelectorAll('*')].map((element) => [element.localName, ...element.getAttributeNames()]);
    const runs = (html) => /^(javascript|data|vbscript):$/.test(parse(html).querySelector('a[href]')?.protocol);
    const isMarkup = ([text, before, after]) => {
      const [html, usual] = [text, 'x'].map((inner) => `<!doctype html>${before}${inner}${after}<p>x</p>`);
      return JSON.stringify(shape(html)) !== JSON.stringify(shape(usual)) || runs(html);
    };
    return cases.filter((one) => !isMarkup(one)).map(([text]) => text);
  }, cases));
  assert.deepEqual(harmless, []);
  assert.ok(cases.length > 50);
});

/** Escapes a text, and replaces the characters that change how the text beside it reads. */
const escaped = (text) => text.replace(/[\p{Cc}\u202a-\u202e\u2066-\u2069]/gu, '\ufffd').replace(/[&<>"']/g, (character) => `&#${character.codePointAt(0)};`);

test('a page with every hostile text has nothing to find if each is escaped', async () => {
  const whole = readFileSync(here('faults/whole.html'), 'utf8');
  const texts = hostile.flatMap((group) => group.texts).map(escaped);
  const list = texts.map((text) => `<li title="${text}">${text}</li>`).join('\n');
  await withDirectory(async (directory) => {
    const page = whole.replace('</main>', () => `<ul style="overflow-wrap: anywhere">${list}</ul></main>`);
    writeFileSync(join(directory, 'hostile.html'), page);
    const { stdout } = await open(directory, IMAGES);
    assert.deepEqual(kinds(stdout), { 'hostile.html': 'nothing' }, stdout);
    // One text that is not escaped is found.
    writeFileSync(join(directory, 'hostile.html'), page.replace('</main>', () => `<p>${hostile[0].texts[0]}</p></main>`));
    const { stdout: found } = await open(directory, IMAGES);
    assert.match(found, /: script: window.__pwned is set/);
  });
});
