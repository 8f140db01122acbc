// Unpacks the Chromium of the package @sparticuz/chromium into a directory: `unpack.mjs <directory>`.
//
// The package brings the browser, a font, and the shared libraries that a system without a desktop lacks. It unpacks
// into the directory for temporary files, and the libraries only on Lambda, so this process says that it is Lambda.

import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';

const directory = resolve(process.argv[2]);
rmSync(directory, { recursive: true, force: true });
mkdirSync(directory, { recursive: true });
Object.assign(process.env, { TMPDIR: directory, AWS_EXECUTION_ENV: 'AWS_Lambda_nodejs20.x' });
const { default: chromium } = await import('@sparticuz/chromium');
await chromium.executablePath();

// The fonts.conf of the package names the directories of Lambda. With one font, texts have the same width everywhere.
const fonts = `<fontconfig><dir>${directory}/fonts</dir><cachedir>${directory}/font-cache</cachedir></fontconfig>`;
writeFileSync(`${directory}/fonts/fonts.conf`, `<?xml version="1.0"?>\n${fonts}\n`);
