// What Heapsight writes, opened in DevTools itself: the one that Chromium has, in a page of its own, by its own file dialog.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { after, before, test } from 'node:test';

import { browserOptions, fixture, run } from './harness.mjs';

const { chromium } = createRequire(import.meta.url)(process.env.PLAYWRIGHT);
const LIMIT = 60_000;

let context;
let page;

before(async () => {
  process.chdir(process.env.SCRATCH);
  const data = path.join(process.env.SCRATCH, 'profile');
  const { args, ...options } = browserOptions();
  context = await chromium.launchPersistentContext(data, { ...options, args: [...args, '--remote-debugging-port=0'], viewport: { width: 1200, height: 800 } });
  const end = Date.now() + LIMIT;
  const file = path.join(data, 'DevToolsActivePort');
  while (!fs.existsSync(file) && Date.now() < end) await new Promise((done) => setTimeout(done, 20));
  const port = fs.readFileSync(file, 'utf8').split('\n')[0];
  // DevTools needs something to look at: an empty page.
  const [subject] = await (await fetch(`http://127.0.0.1:${port}/json/list`)).json();
  page = await context.newPage();
  page.setDefaultTimeout(LIMIT);
  await page.goto(`http://127.0.0.1:${port}/devtools/devtools_app.html?ws=127.0.0.1:${port}/devtools/page/${subject.id}`);
  await page.getByRole('tab', { name: 'Memory' }).click();
});
after(() => context?.close());

/** The rows that DevTools shows of a file: self or shallow size and what stands before and behind, as one text each. */
async function shown(file) {
  await page.locator('input[type=file]').first().setInputFiles(file);
  const name = path.basename(file).replace(/\.[a-z]+$/, '');
  const item = page.getByRole('treeitem').filter({ hasText: name }).last();
  await item.filter({ hasText: /\((Loaded|[\d.,\s]+[kMG]?B)\)/ }).waitFor();
  await item.click();
  const rows = page.locator('.data-grid:visible tr.data-grid-data-grid-node');
  await rows.nth(3).waitFor();
  return (await rows.allInnerTexts()).map((text) => text.replace(/\s+/g, ' ').trim());
}

/** Runs the command, which must succeed. */
async function done(args) {
  const ended = await run(args);
  assert.equal(ended.code, 0, ended.said);
  return ended.out;
}

test('profiles that were converted and merged', async () => {
  const profile = fixture('node-22.23.3.heapprofile');
  for (const form of ['pb.gz']) {
    await done(['convert', profile, `between.${form}`]);
    await done(['convert', `between.${form}`, `from-${form.split('.')[0]}.heapprofile`]);
  }
  await done(['profile', 'merge', profile, fixture('node-24.21.0.heapprofile'), '-o', 'merged.heapprofile']);
  for (const [file, churn] of [['from-pb', '80.7 kB'], ['merged', '183 kB']]) {
    const rows = await shown(`${file}.heapprofile`);
    assert.ok(rows.some((row) => row.startsWith(churn) && /\bchurn\b/.test(row)), `${file}: ${rows.join('\n')}`);
    assert.ok(rows.some((row) => row.startsWith('0 B') && /\bloopA\b/.test(row)), `${file}: ${rows.join('\n')}`);
  }
});

test('a snapshot that a forked child wrote', async () => {
  const program = spawn(process.env.NODE_BINARY, ['-e', `
    class HeapsightMarker { constructor(i) { this.text = 'marker ' + i; } }
    globalThis.kept = Array.from({ length: 5000 }, (_, i) => new HeapsightMarker(i));
    setInterval(() => {}, 1000); console.log('up');`], { stdio: ['ignore', 'pipe', 'ignore'] });
  process.on('exit', () => program.kill());
  await new Promise((up) => program.stdout.once('data', up));
  await done(['snapshot', String(program.pid), '--method', 'fork', '-o', 'forked.heapsnapshot']);
  program.kill();
  const rows = await shown('forked.heapsnapshot');
  assert.ok(rows.some((row) => /^HeapsightMarker\s?×5\D?000 /.test(row)), rows.join('\n'));
});
