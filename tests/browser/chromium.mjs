// Starts the Chromium that `make setup` unpacked.

import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import puppeteer from 'puppeteer-core';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const UNPACKED = join(ROOT, 'node_modules/.chromium');

const FLAGS = [
  // A container, or a user namespace that is not allowed, has no sandbox. The pages are refused all requests.
  '--no-sandbox',
  // A request that no check sees, such as a look-up of a name in advance, finds no host.
  '--host-resolver-rules=MAP * ~NOTFOUND',
  '--disable-gpu',
  '--font-render-hinting=none',
];

/** Returns the path of the browser. The package has one for Linux on x86_64 only, so CHROMIUM may name another one. */
const executable = () => {
  const path = process.env.CHROMIUM || join(UNPACKED, 'chromium');
  if (!existsSync(path)) throw new Error(`${path} is missing: run \`make setup\`, or set CHROMIUM to the path of a Chromium`);
  if (!process.env.CHROMIUM && (process.platform !== 'linux' || process.arch !== 'x64')) {
    throw new Error(`the packaged Chromium runs on Linux on x86_64, not on ${process.platform} on ${process.arch}: set CHROMIUM to the path of another one`);
  }
  return path;
};

/** Creates a directory for the files of the browser. Removes those of processes that were killed. */
const profile = () => {
  const profiles = join(ROOT, '.local/chromium');
  mkdirSync(profiles, { recursive: true });
  const isOver = (pid) => !existsSync(`/proc/${pid}`);
  for (const pid of readdirSync(profiles).filter(isOver)) rmSync(join(profiles, pid), { recursive: true, force: true });
  return join(profiles, String(process.pid));
};

/** Calls `use` with a browser, which ends with it. If this process is killed, the browser ends as its pipe closes. */
export async function withChromium(use) {
  const userDataDir = profile();
  const libraries = [join(UNPACKED, 'al2023/lib'), process.env.LD_LIBRARY_PATH].filter(Boolean).join(':');
  const unpacked = { FONTCONFIG_PATH: join(UNPACKED, 'fonts'), LD_LIBRARY_PATH: libraries };
  const env = { ...process.env, HOME: userDataDir, ...(process.env.CHROMIUM ? {} : unpacked) };
  const options = { executablePath: executable(), headless: 'shell', pipe: true, args: FLAGS, userDataDir, env };
  let browser;
  try {
    browser = await puppeteer.launch(options);
    return await use(browser);
  } finally {
    await browser?.close();
    rmSync(userDataDir, { recursive: true, force: true, maxRetries: 5 });
  }
}
