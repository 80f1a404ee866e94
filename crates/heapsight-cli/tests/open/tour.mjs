// Takes the pictures of docs/tour.md; run by hand with the environment that main.rs sets:
// node tour.mjs BEFORE.heapsnapshot AFTER.heapsnapshot TIMELINE OUT
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';

import { browser, open, page as newPage, row } from './harness.mjs';

const [before, after, recording, out] = process.argv.slice(2).map((name) => path.resolve(name));
fs.mkdirSync(out, { recursive: true });
process.chdir(process.env.SCRATCH);
fs.writeFileSync('server.js', `const http = require('http');

class Session {
  constructor(id) { this.id = id; this.visited = new Array(20).fill(id); }
}

class MemoryStore {
  sessions = new Map();
  create(id) { this.sessions.set(id, new Session(id)); }
}

const store = new MemoryStore();
let n = 0;
const server = http.createServer((request, response) => {
  store.create('session-' + (n += 1));
  response.end('ok');
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
`);
const program = spawn(process.env.NODE_BINARY, ['server.js'], { stdio: ['ignore', 'pipe', 'ignore'] });
process.on('exit', () => program.kill());
const port = await new Promise((done) => program.stdout.once('data', (text) => done(Number(text))));

const server = await open([before, after, recording]);
const chrome = await browser();

/** Pictures at a width and in a theme. */
async function at(width, height, colorScheme, work) {
  const { page, context } = await newPage(chrome, server, { viewport: { width, height }, colorScheme });
  await work(page, async (name, part) => {
    await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
    await (part ?? page).screenshot({ path: path.join(out, `${name}.png`) });
  });
  await context.close();
}

/** The Summary with an object chosen. */
async function summary(page) {
  await page.goto(server.at('/f/1/summary?class=leak'));
  await row(page, 'Classes', 'Leak').waitFor();
  await page.locator('.toggle').first().click();
  const grid = page.getByRole('treegrid', { name: 'Classes' });
  await grid.locator('[aria-level="2"] .id').first().waitFor();
  await page.keyboard.press('ArrowDown');
  await page.locator('.pane-title .id').waitFor();
  await page.keyboard.press('ArrowRight');
  await grid.locator('[aria-level="3"] .id').first().waitFor();
  await page.getByRole('treegrid', { name: 'Retainers' }).locator('[aria-level="2"] .id').first().waitFor();
}

await at(1100, 680, 'light', async (page, take) => {
  await summary(page);
  await take('summary');
  await page.getByRole('tab', { name: 'Story' }).click();
  await page.locator('.story li').first().waitFor();
  await take('story');
  await page.goto(server.at('/f/1/comparison'));
  await row(page, 'Classes that changed', 'Leak').waitFor();
  await take('comparison');
  await page.goto(server.at('/f/1/statistics'));
  await page.locator('.parts').waitFor();
  await take('statistics');
  await page.goto(server.at('/f/2/timeline'));
  await row(page, 'Classes that are alive', 'Array').waitFor();
  await take('timeline');
  await page.goto(server.at('/'));
  await page.getByLabel('Another target').fill(String(program.pid));
  await page.locator('form').getByRole('button', { name: 'Capture…' }).click();
  await page.getByRole('heading', { name: /Capture process/ }).waitFor();
  await page.locator('.command-line').evaluate((line) => { line.textContent = 'node server.js'; });
  await page.getByText(/Captures are kept/).evaluate((line) => { line.textContent = 'Captures are kept in /home/me/app; those of a hunt go when the server ends.'; });
  await take('capture', page.locator('section.card'));
  await page.getByLabel('URL of a round').fill(`http://127.0.0.1:${port}/`);
  await page.getByLabel('Requests').fill('500');
  await page.getByRole('button', { name: 'Hunt for leaks' }).click();
  await page.locator('.job').getByText(/leaks? found/).waitFor({ timeout: 90_000 });
  await take('hunt', page.locator('.job'));
});
await at(1100, 680, 'dark', async (page, take) => {
  await page.goto(server.at('/f/1/dominators?as=map'));
  await page.locator('.area').first().waitFor();
  await take('map-dark');
  await summary(page);
  await take('summary-dark');
});
await at(360, 720, 'dark', async (page, take) => {
  await summary(page);
  await take('summary-360-dark');
});
await at(360, 720, 'light', async (page, take) => {
  await page.goto(server.at('/f/1/comparison'));
  await row(page, 'Classes that changed', 'Leak').waitFor();
  await take('comparison-360');
});
await at(1920, 1080, 'light', async (page, take) => {
  await summary(page);
  await take('summary-1920');
});
await chrome.close();
await server.close();
program.kill();
