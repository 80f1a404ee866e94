// How long the page of `heapsight open` takes, in a real Chromium: first rows, and then each expansion, sort, filter and
// search, from the key or the click to the frame that shows the answer.
//
// usage: node web.mjs HEAPSIGHT FILE.heapsnapshot [--playwright DIR] [--chromium PATH] [--rounds N] [--json OUT]
//
// Prints a table with what must be reached. The engine's memory is that of `heapsight summary --no-cache` on the same
// file, measured first; the server's is its resident peak after everything below.
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';

const args = process.argv.slice(2);
const option = (name, usual) => {
  const at = args.indexOf(`--${name}`);
  return at < 0 ? usual : args.splice(at, 2)[1];
};
const playwright = option('playwright', 'playwright-core');
const executablePath = option('chromium', '/usr/bin/chromium');
const rounds = Number(option('rounds', '12'));
const out = option('json', null);
const [heapsight, file] = args;
if (!file) {
  console.error('usage: node web.mjs HEAPSIGHT FILE.heapsnapshot [--playwright DIR] [--chromium PATH] [--rounds N] [--json OUT]');
  process.exit(2);
}
const { chromium } = createRequire(import.meta.url)(playwright);
const cache = fs.mkdtempSync(path.join(os.tmpdir(), 'heapsight-web-'));
process.on('exit', () => fs.rmSync(cache, { recursive: true, force: true }));
const env = { ...process.env, HEAPSIGHT_CACHE_DIR: cache, HEAPSIGHT_CACHE_FROM_BYTES: '0' };

/** Kibibytes of a line of /proc/PID/status. */
function memory(pid, name) {
  const text = fs.readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(new RegExp(`${name}:\\s+(\\d+)`).exec(text)?.[1] ?? 0);
}

/** The peak of the engine alone. */
async function engine() {
  const child = spawn(heapsight, ['summary', file, '--no-cache', '--quiet', '--top', '1', '--timings'], { stdio: ['ignore', 'ignore', 'pipe'], env });
  let said = '';
  child.stderr.on('data', (part) => { said += part; });
  await new Promise((done) => child.on('exit', done));
  const found = /([\d.]+) (B|KiB|MiB|GiB)\s+peak resident/.exec(said);
  const unit = { B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 };
  return found ? Number(found[1]) * unit[found[2]] : NaN;
}

async function serve() {
  const child = spawn(heapsight, ['open', '--no-browser', file], { env, stdio: ['ignore', 'pipe', 'ignore'] });
  const began = performance.now();
  process.on('exit', () => child.kill('SIGINT'));
  const url = await new Promise((done, fail) => {
    child.stdout.once('data', (text) => done(String(text).trim()));
    child.once('exit', (code) => fail(new Error(`it ended with ${code}`)));
  });
  return { child, url, began, end: () => new Promise((done) => { child.once('exit', done); child.kill('SIGINT'); }) };
}

const wait = `globalThis.until = (test) => new Promise((done) => {
  // A change is drawn in the next frame: what is there before that is the old answer.
  const look = () => (test() ? requestAnimationFrame(() => done(performance.now())) : requestAnimationFrame(look));
  requestAnimationFrame(look);
});`;

/** From doing something in the page to the frame in which a test holds, in milliseconds. */
function timed(page, act, test) {
  return page.evaluate(`(async () => { const began = performance.now(); ${act}; return await until(() => ${test}) - began; })()`);
}

const quantile = (list, q) => [...list].sort((a, b) => a - b)[Math.min(list.length - 1, Math.ceil(list.length * q) - 1)];
const rows = [];
const row = (what, value, bar, unit = 'ms') => rows.push({ what, value, bar, unit, met: value <= bar });

const base = await engine();
const chrome = await chromium.launch({ executablePath, args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update', '--disable-sync'] });

/** The time from the start of the server to the first rows on screen. */
async function first() {
  const server = await serve();
  const page = await chrome.newPage();
  await page.addInitScript(wait);
  await page.goto(server.url);
  await page.locator('.grid .class').first().waitFor({ timeout: 600_000 });
  const took = performance.now() - server.began;
  return { server, page, took };
}

const cold = await first();
row('first rows, cold', cold.took, 5000);
await cold.page.waitForFunction(() => !document.body.classList.contains('opening'), null, { timeout: 600_000 });
await cold.page.close();
await cold.server.end();
const { server, page, took } = await first();
row('first rows, from the index', took, 1000);
await page.evaluate(`until(() => !document.body.classList.contains('opening'))`);
// The whole heap is there when its objects are.
await page.evaluate(`fetch('/api/files/0/fields').then((r) => r.json())`);

// The rows of the table that was acted on; the pane beside it goes on with the object that was chosen before.
const waits = `document.querySelector('.grid .row:not([hidden])') !== null && document.querySelector('.grid').querySelector('.row:not([hidden]).waits') === null`;
// The page waits 120 ms for the next key: that is part of what is felt, and none of what is measured here.
const SETTLES = 120;
const filterBy = async (text) => await timed(page, `const f = document.querySelector('input[data-filter]'); const before = document.querySelector('.sum').firstChild; f.value = '${text}'; f.dispatchEvent(new Event('input'))`, `document.querySelector('.sum').firstChild !== before && ${waits}`) - SETTLES;
const expand = [];
const sort = [];
const filter = [];
const search = [];
for (let round = 0; round < rounds; round += 1) {
  // A class with its objects, an object with its fields; each round another one.
  await page.evaluate(`document.querySelector('.grid').scrollTop = 0`);
  expand.push(await timed(page, `document.querySelectorAll('.row:not([hidden]) .toggle')[${round % 8}].click()`, waits));
  expand.push(await timed(page, `[...document.querySelectorAll('.row:not([hidden])[aria-level="2"][aria-expanded="false"] .toggle')][${round % 3}]?.click()`, waits));
  const columns = ['Objects', 'Shallow size', 'Distance', 'Constructor', 'Retained size'];
  sort.push(await timed(page, `[...document.querySelectorAll('button.sort')].find((b) => b.textContent.startsWith('${columns[round % columns.length]}')).click()`, waits));
  const words = ['a', 'map', 'node', 'string', '/^[A-Z]/', 'system'];
  filter.push(await filterBy(words[round % words.length]));
  await filterBy('');
}
await page.goto(new URL('/f/0/search', server.url).href);
await page.locator('form input.long').waitFor();
for (let round = 0; round < rounds; round += 1) {
  const words = ['customer', 'Order', '/^sku-1/', 'zz-not-there', '@1', 'tag', '/9{3}/', 'Date'];
  search.push(await timed(page, `const f = document.querySelector('form input.long'); f.value = '${words[round % words.length]}${round >= words.length ? round : ''}'; f.form.requestSubmit()`, `document.querySelector('.note').textContent !== '' && !document.querySelector('.grid').querySelector('.row:not([hidden]).waits')`));
}
row('expand, p95', quantile(expand, 0.95), 100);
row('sort, p95', quantile(sort, 0.95), 100);
row('filter, p95', quantile(filter, 0.95), 100);
row('search of the whole heap, p95', quantile(search, 0.95), 300);

// A class with very many objects, scrolled: frames that take longer than two of sixty a second.
await page.goto(new URL('/f/0/summary?sort=count&dir=desc', server.url).href);
await page.locator('.grid .class').first().waitFor();
await timed(page, `document.querySelector('.row .toggle').click()`, waits);
const frames = await page.evaluate(`(async () => {
  const grid = document.querySelector('.grid');
  const times = [];
  for (let n = 0, last = performance.now(); n < 240; n += 1) {
    grid.scrollTop += 220;
    await new Promise(requestAnimationFrame);
    const now = performance.now();
    times.push(now - last);
    last = now;
  }
  return times;
})()`);
row('frame while scrolling, p95', quantile(frames, 0.95), 1000 / 60 * 1.25);
const peak = memory(server.child.pid, 'VmHWM') * 1024;
row('memory of the server beyond the engine\'s', (peak - base) / 2 ** 20, 100, 'MiB');
await chrome.close();
await server.end();

console.log(`${path.basename(file)}, ${(fs.statSync(file).size / 2 ** 20).toFixed(0)} MiB; engine ${(base / 2 ** 20).toFixed(0)} MiB, server ${(peak / 2 ** 20).toFixed(0)} MiB\n`);
console.log('| what | measured | must be | |\n| --- | ---: | ---: | --- |');
for (const { what, value, bar, unit, met } of rows) console.log(`| ${what} | ${value.toFixed(unit === 'ms' && value < 100 ? 1 : 0)} ${unit} | ${bar.toFixed(unit === 'ms' && bar < 100 ? 1 : 0)} ${unit} | ${met ? 'met' : 'missed'} |`);
if (out) fs.writeFileSync(out, `${JSON.stringify({ file: path.basename(file), engine: base, peak, rows, expand, sort, filter, search }, null, 2)}\n`);
