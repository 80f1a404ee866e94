// How long speedscope takes to open a profile, in a real Chromium: from the page's load to the profile's name in its title.
// usage: node speedscope.mjs NPM-FOLDER PROFILE [CHROMIUM]      prints seconds
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import {createRequire} from 'node:module';

const [npm, profile, executablePath = '/usr/bin/chromium'] = process.argv.slice(2);
const {chromium} = createRequire(path.resolve(npm, 'package.json'))('playwright-core');
const root = path.resolve(npm, 'node_modules/speedscope/dist/release');
const types = {'.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.wasm': 'application/wasm'};
const server = http.createServer((request, response) => {
  const name = path.basename(new URL(request.url, 'http://x').pathname) || 'index.html';
  const file = name === path.basename(profile) ? profile : path.join(root, name);
  if (!fs.existsSync(file)) return response.writeHead(404).end();
  response.writeHead(200, {'content-type': types[path.extname(file)] ?? 'application/octet-stream'});
  fs.createReadStream(file).pipe(response);
});
await new Promise(done => server.listen(0, '127.0.0.1', done));
const base = `http://127.0.0.1:${server.address().port}`;
const flags = ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update', '--disable-sync'];
const browser = await chromium.launch({executablePath, args: flags});
try {
  const page = await browser.newPage();
  const name = path.basename(profile);
  const began = performance.now();
  await page.goto(`${base}/index.html#profileURL=${encodeURIComponent(`${base}/${name}`)}&title=${encodeURIComponent(name)}`);
  await page.waitForFunction(name => document.title.includes(name), name, {timeout: 300_000, polling: 'raf'});
  console.log(((performance.now() - began) / 1000).toFixed(2));
} finally {
  await browser.close();
  server.close();
}
