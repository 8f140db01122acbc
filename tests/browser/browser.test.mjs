// Tests the examination of pages itself: each page of faults/ has one fault, which must be found, and nothing else.

import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const OPEN = here('open.mjs');
const IMAGES = here('../../.local/reports/faults');
const pages = readdirSync(here('faults'));

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
  const empty = mkdtempSync(here('../../.local/empty-'));
  const { code, stderr } = await open(empty);
  rmSync(empty, { recursive: true });
  assert.equal(code, 1);
  assert.match(stderr, /^error: .*empty-.* has no page \*\.html\n$/);
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
