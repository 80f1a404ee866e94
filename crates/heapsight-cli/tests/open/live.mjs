// The start page: files that are dropped, and captures of a live process, recordings and a leak hunt among them.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';

import { barriers, browser, fixture, open, page as newPage, row } from './harness.mjs';

/** A server that keeps what every request brings. */
const LEAKY = `
  const http = require('http');
  class Session { constructor(id) { this.id = id; this.data = new Array(20).fill(id); } }
  class MemoryStore { sessions = new Map(); }
  const store = new MemoryStore();
  globalThis.keep = store;
  let n = 0;
  setInterval(() => { globalThis.last = new Array(1000).fill(n); }, 20);
  http.createServer((request, response) => { n += 1; store.sessions.set('s' + n, new Session(n)); response.end('ok'); })
    .listen(0, '127.0.0.1', function () { console.log(this.address().port); });
`;

let server;
let chrome;
let program;
let url;

/** Starts a program that is captured. */
async function start() {
  const child = spawn(process.env.NODE_BINARY, ['-e', LEAKY], { stdio: ['ignore', 'pipe', 'ignore'] });
  process.on('exit', () => child.kill());
  const port = await new Promise((done) => child.stdout.once('data', (text) => done(Number(text))));
  return { child, url: `http://127.0.0.1:${port}/` };
}

before(async () => {
  process.chdir(process.env.SCRATCH);
  ({ child: program, url } = await start());
  server = await open([]);
  chrome = await browser();
});
after(async () => {
  await chrome?.close();
  assert.equal(await server?.close(), 0);
  // The target is as it was found: it still answers, and its inspector is closed.
  assert.equal(await (await fetch(url)).text(), 'ok');
  program.kill();
});

/** A page on which the process is chosen. */
async function chosen(work) {
  const { page, context, wrong } = await newPage(chrome, server);
  await page.getByRole('heading', { name: 'Files' }).waitFor();
  const line = page.locator('tr').filter({ has: page.locator('td', { hasText: new RegExp(`^${program.pid}$`) }) });
  await line.getByRole('button', { name: 'Capture…' }).click();
  await page.getByRole('heading', { name: `Capture process ${program.pid}` }).waitFor();
  await work(page);
  assert.deepEqual(wrong, []);
  await context.close();
}

test('what a snapshot costs is shown, and it is taken', () => chosen(async (page) => {
  await page.getByRole('row', { name: /^fork ✓/ }).waitFor();
  assert.deepEqual(await barriers(page), []);
  await page.getByRole('button', { name: 'Take snapshot' }).click();
  await page.locator('.job').getByRole('link', { name: 'Open it' }).first().click();
  await page.getByRole('searchbox', { name: 'Class filter' }).fill('MemoryStore');
  await page.getByText(/^1 of/).waitFor();
  await row(page, 'Classes', 'MemoryStore').waitFor();
  assert.match(page.url(), /\/f\/\d+\//);
}));

test('a process can be captured where it is narrow', async () => {
  const { page, context, wrong } = await newPage(chrome, server, { viewport: { width: 400, height: 800 } });
  const line = page.locator('tr').filter({ has: page.locator('td', { hasText: new RegExp(`^${program.pid}$`) }) });
  const button = line.getByRole('button', { name: 'Capture…' });
  const box = await button.boundingBox();
  assert.ok(box.x >= 0 && box.x + box.width <= 400, `${box.x}`);
  await button.click();
  await page.getByRole('heading', { name: `Capture process ${program.pid}` }).waitFor();
  // What ends each recording is said beside it.
  await page.locator('.actions > div').filter({ has: page.getByRole('button', { name: 'Record timeline' }) }).getByText('until you stop it').waitFor();
  await page.locator('.actions > div').filter({ has: page.getByRole('button', { name: 'Sample' }) }).getByLabel('Seconds').waitFor();
  assert.deepEqual(wrong, []);
  await context.close();
});

test('two snapshots that were taken one by one are no pair, and it is said', async () => {
  const { page, context, wrong } = await newPage(chrome, server);
  const places = [];
  for (let n = 0; n < 2; n += 1) {
    await page.goto(server.at('/'));
    await page.getByLabel('Another target').fill(String(program.pid));
    await page.locator('form').getByRole('button', { name: 'Capture…' }).click();
    await page.getByRole('heading', { name: `Capture process ${program.pid}` }).waitFor();
    const done = await page.locator('.job').getByRole('link', { name: 'Open it' }).count();
    await page.getByRole('button', { name: 'Take snapshot' }).click();
    await page.locator('.job').getByRole('link', { name: 'Open it' }).nth(done).waitFor();
    places.push(await page.locator('.job').getByRole('link', { name: 'Open it' }).first().getAttribute('href'));
  }
  const [old, young] = places.map((place) => /\d+/.exec(place)[0]);
  await page.goto(server.at(`/f/${young}/comparison?base=${old}`));
  await page.getByText('The object ids of these two do not fit together').waitFor();
  assert.deepEqual(wrong, []);
  await context.close();
});

test('a timeline is recorded, and a part of it brushed', () => chosen(async (page) => {
  await page.getByRole('button', { name: 'Record timeline' }).click();
  const job = page.locator('.job').first();
  await job.locator('.bars rect').nth(5).waitFor();
  for (let n = 0; n < 200; n += 1) await fetch(url);
  await job.getByRole('button', { name: 'Stop and keep' }).click();
  await job.getByRole('link', { name: 'Open it' }).click();
  await page.locator('.timeline .alive').first().waitFor();
  await row(page, 'Classes that are alive', 'Session').waitFor();
  assert.deepEqual(await barriers(page), []);
  const all = await page.locator('.note').textContent();
  const chart = await page.locator('.timeline').boundingBox();
  await page.mouse.move(chart.x + 4, chart.y + 40);
  await page.mouse.down();
  await page.mouse.move(chart.x + chart.width / 4, chart.y + 40, { steps: 4 });
  await page.mouse.up();
  await page.waitForFunction((before) => document.querySelector('.note')?.textContent !== before, all);
  assert.match(page.url(), /to=\d+/);
  await page.getByRole('link', { name: 'in the Summary' }).click();
  await page.getByRole('treegrid', { name: 'Classes' }).waitFor();
}));

test('a sampling profile, and its views', () => chosen(async (page) => {
  await page.getByLabel('Seconds').fill('1');
  await page.getByLabel('one sample in so many bytes').fill('512');
  await page.getByRole('button', { name: 'Sample' }).click();
  for (let n = 0; n < 300; n += 1) await fetch(url);
  await page.locator('.job').first().getByRole('link', { name: 'Open it' }).click();
  await page.locator('.flame canvas').waitFor();
  assert.deepEqual(await barriers(page), []);
  await page.getByRole('checkbox', { name: 'inverted' }).check();
  await page.getByRole('searchbox', { name: 'Mark functions' }).fill('e');
  await page.getByText(/frames?, /).waitFor();
  await page.getByRole('application').focus();
  await page.keyboard.press('ArrowDown');
  await page.keyboard.press('Enter');
  await page.getByRole('button', { name: 'Whole graph' }).waitFor();
  await page.getByRole('combobox', { name: 'One row for each' }).selectOption('package');
  await page.getByRole('link', { name: 'Table' }).click();
  await page.getByRole('treegrid', { name: 'Functions' }).locator('.share').first().waitFor();
}));

test('a whole leak hunt', () => chosen(async (page) => {
  await page.getByLabel('URL of a round').fill(url);
  await page.getByLabel('Requests').fill('100');
  await page.getByRole('button', { name: 'Hunt for leaks' }).click();
  const job = page.locator('.job').first();
  await job.getByText(/leaks? found/).waitFor({ timeout: 90_000 });
  const leak = job.locator('.card').first();
  assert.match(await leak.textContent(), /sessions/);
  assert.equal(await leak.locator('.bars rect').count(), 3);
  assert.deepEqual(await barriers(page), []);
  await leak.getByRole('link', { name: /^Object @/ }).click();
  await page.locator('.pane-title', { hasText: 'Map' }).waitFor();
}));

test('a hunt in which the user does the work can be called off', () => chosen(async (page) => {
  await page.getByRole('button', { name: 'Hunt for leaks' }).click();
  const job = page.locator('.job').first();
  await job.getByRole('button', { name: 'The work of this round is done' }).click();
  await job.getByText('round 2 of 3').waitFor();
  await job.getByRole('button', { name: 'Call off' }).click();
  await job.getByText('called off').waitFor();
}));

test('a file that is dropped is opened', async () => {
  const { page, context, wrong } = await newPage(chrome, server);
  await page.getByLabel('A file to open').setInputFiles(fixture('pairA.heapsnapshot.zst'));
  await row(page, 'Classes', 'Leak').waitFor();
  await page.goto(server.at('/'));
  // As a person does it, with the mouse.
  const transfer = await page.evaluateHandle(() => {
    const data = new DataTransfer();
    data.items.add(new File(['{"no": "snapshot"}'], 'wrong.heapsnapshot'));
    return data;
  });
  await page.locator('.drop').dispatchEvent('drop', { dataTransfer: transfer });
  await page.getByRole('heading', { name: 'The file cannot be opened' }).waitFor();
  await page.locator('.notice').getByText('wrong.heapsnapshot').waitFor();
  await page.getByRole('button', { name: 'Try again' }).click();
  await page.getByRole('heading', { name: 'The file cannot be opened' }).waitFor();
  assert.deepEqual(wrong, []);
  await context.close();
});

test('a target that exits says so', async () => {
  const other = await start();
  const { page, context, wrong } = await newPage(chrome, server);
  await page.getByLabel('Another target').fill(String(other.child.pid));
  await page.locator('form').getByRole('button', { name: 'Capture…' }).click();
  await page.getByRole('button', { name: 'Record timeline' }).click();
  const job = page.locator('.job').first();
  await job.locator('.bars rect').first().waitFor();
  other.child.kill('SIGKILL');
  await job.getByText(/the process has ended/).waitFor();
  assert.deepEqual(wrong, []);
  await context.close();
});

test('captures are the user\'s alone', () => {
  const kept = fs.readdirSync(process.env.SCRATCH).filter((name) => /\.heap(snapshot|timeline|profile)$/.test(name));
  assert.ok(kept.length >= 3, String(kept));
  for (const name of kept) assert.equal(fs.statSync(path.join(process.env.SCRATCH, name)).mode & 0o777, 0o600);
});

test('a file that was opened before is offered', async () => {
  const env = { HEAPSIGHT_CACHE_DIR: `${process.env.SCRATCH}/other-cache` };
  const before = await open([fixture('node-18.20.8.heapsnapshot.zst')], env);
  assert.equal(await before.close(), 0);
  const later = await open([], env);
  const { page, context, wrong } = await newPage(chrome, later);
  const line = page.locator('tr').filter({ hasText: 'node-18.20.8.heapsnapshot.zst' });
  await line.filter({ hasText: 'opened before' }).getByRole('link').click();
  await row(page, 'Classes', '(string)').waitFor();
  assert.deepEqual(wrong, []);
  await context.close();
  assert.equal(await later.close(), 0);
});
