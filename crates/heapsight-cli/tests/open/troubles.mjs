// What goes wrong, and is said kindly: wrong files, taken ports, no browser, a file that vanishes, a page that may not
// capture; and when it ends.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';

import { browser, fixture, open, page as newPage, row, run } from './harness.mjs';

const scratch = process.env.SCRATCH;
let chrome;
before(async () => { chrome = await browser(); });
after(async () => { await chrome?.close(); });

test('a file that is not there, a folder, forms that do not apply', async () => {
  for (const [args, words] of [
    [['nowhere.heapsnapshot'], /cannot open nowhere.heapsnapshot: .*\nhint: /],
    [[scratch], /it is a directory\nhint: /],
    [['--json'], /do not apply here\nhint: /],
    [['--listen', '203.0.113.1'], /cannot listen on 203.0.113.1:0: .*\nhint: --listen takes an address of this machine/],
  ]) {
    const ended = await run(['open', '--no-browser', ...args]);
    assert.equal(ended.code, 2);
    assert.match(ended.said, words);
    assert.equal(ended.out, '');
  }
});

test('a port that is taken', async () => {
  const server = await open([]);
  const { port } = new URL(server.url);
  const ended = await run(['open', '--no-browser', '--port', port]);
  assert.equal(ended.code, 2);
  assert.match(ended.said, /cannot listen on 127\.0\.0\.1:\d+: .*\nhint: another program has the port/);
  assert.equal(await server.close(), 0);
});

test('no browser: the address is enough', async () => {
  const ended = await run(['open', '--idle-timeout', '1s'], { BROWSER: '/nowhere/browser' });
  assert.equal(ended.code, 0);
  assert.match(ended.said, /no browser was started .*: open the address above yourself/);
  assert.match(ended.out, /^http:\/\/127\.0\.0\.1:\d+\/\?token=[0-9a-f]{64}\n$/);
});

test('the browser gets a token that is good once', async () => {
  const script = path.join(scratch, 'browser.sh');
  const got = path.join(scratch, 'address');
  fs.writeFileSync(script, `#!/bin/sh\nprintf %s "$1" > '${got}.new' && mv '${got}.new' '${got}'\n`, { mode: 0o755 });
  const ending = run(['open', '--idle-timeout', '2s'], { BROWSER: script });
  while (!fs.existsSync(got)) await new Promise((done) => setTimeout(done, 20));
  const address = fs.readFileSync(got, 'utf8');
  const [first, second] = [await fetch(address, { redirect: 'manual' }), await fetch(address, { redirect: 'manual' })];
  assert.deepEqual([first.status, second.status], [303, 401]);
  const { out } = await ending;
  assert.ok(!address.includes(new URL(out.trim()).searchParams.get('token')));
});

test('a page that is open keeps the server, and none ends it', async () => {
  const server = await open(['--idle-timeout', '1s', fixture('pairA.heapsnapshot.zst')]);
  const { page, context } = await newPage(chrome, server);
  await row(page, 'Classes', 'Leak').waitFor();
  await new Promise((done) => setTimeout(done, 2500));
  await page.getByRole('searchbox', { name: 'Class filter' }).fill('leak');
  await page.getByText(/^1 of/).waitFor();
  await context.close();
  assert.equal(await server.ended, 0);
});

test('a file that vanishes is shown from memory, and said to be gone', async () => {
  const file = path.join(scratch, 'gone.heapsnapshot.zst');
  const other = path.join(scratch, 'early.heapsnapshot.zst');
  fs.copyFileSync(fixture('pairA.heapsnapshot.zst'), file);
  fs.copyFileSync(fixture('pairA.heapsnapshot.zst'), other);
  const server = await open([file, other]);
  const { page, context, wrong } = await newPage(chrome, server);
  await page.goto(server.at('/f/0/summary'));
  await row(page, 'Classes', 'Leak').waitFor();
  fs.unlinkSync(file);
  fs.unlinkSync(other);
  await page.reload();
  await row(page, 'Classes', 'Leak').waitFor();
  await page.goto(server.at('/'));
  await page.locator('.badge', { hasText: 'gone' }).first().waitFor();
  // One that was never opened cannot be shown.
  await page.goto(server.at('/f/1/summary'));
  await page.getByRole('heading', { name: 'The file cannot be opened' }).waitFor();
  await page.getByText('No such file').waitFor();
  fs.copyFileSync(fixture('pairA.heapsnapshot.zst'), other);
  await page.getByRole('button', { name: 'Try again' }).click();
  await row(page, 'Classes', 'Leak').waitFor();
  assert.deepEqual(wrong, []);
  await context.close();
  await server.close();
});

test('read-only: nothing can be captured', async () => {
  const server = await open(['--read-only']);
  const { page, context, wrong } = await newPage(chrome, server);
  await page.getByText('this page was started with --read-only').waitFor();
  assert.equal(await page.getByRole('button', { name: 'Capture…' }).count(), 0);
  const answer = await page.evaluate(() => fetch('/api/jobs', { method: 'POST', body: '{"kind":"snapshot","target":"1"}' }).then((one) => one.status));
  assert.equal(answer, 403);
  assert.deepEqual(wrong, []);
  await context.close();
  await server.close();
});

test('without the token there is no page', async () => {
  const server = await open([]);
  const context = await chrome.newContext();
  const page = await context.newPage();
  const answer = await page.goto(server.at('/'));
  assert.equal(answer.status(), 401);
  assert.match(await page.locator('body').textContent(), /Open the address that `heapsight open` printed/);
  // Nor is there one inside of another site's.
  await context.close();
  await server.close();
});

test('help, themes and the keyboard', async () => {
  const server = await open([fixture('pairA.heapsnapshot.zst')]);
  const { page, context, wrong } = await newPage(chrome, server);
  await row(page, 'Classes', 'Leak').waitFor();
  await page.keyboard.press('?');
  await page.getByRole('dialog').getByText('to the search').waitFor();
  await page.keyboard.press('Escape');
  await page.getByRole('dialog').waitFor({ state: 'detached' });
  const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const before = await ground();
  await page.getByRole('button', { name: 'Light or dark' }).click();
  assert.notEqual(await ground(), before);
  await page.reload();
  assert.notEqual(await ground(), before);
  await row(page, 'Classes', 'Leak').waitFor();
  await page.keyboard.press('/');
  assert.equal(await page.evaluate(() => document.activeElement?.getAttribute('aria-label')), 'Class filter');
  await page.keyboard.press('Escape');
  assert.equal(await page.evaluate(() => document.activeElement?.getAttribute('role')), 'treegrid');
  await page.keyboard.press('End');
  await page.waitForFunction(() => {
    const all = document.querySelector('[role=treegrid]')?.getAttribute('aria-rowcount');
    return document.querySelector('.row.active')?.getAttribute('aria-rowindex') === all;
  });
  // A column is resized by the keyboard.
  const heading = page.getByRole('columnheader', { name: 'Objects' });
  const width = (await heading.boundingBox()).width;
  await heading.getByRole('button').focus();
  await page.keyboard.press('Alt+ArrowRight');
  assert.ok((await page.getByRole('columnheader', { name: 'Objects' }).boundingBox()).width > width);
  assert.deepEqual(wrong, []);
  await context.close();
  await server.close();
});
