// The views of snapshots.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';

import { barriers, browser, column, fixture, open, page as newPage, row } from './harness.mjs';

let server;
let chrome;
before(async () => {
  server = await open([fixture('pairA.heapsnapshot.zst'), fixture('pairB.heapsnapshot.zst')]);
  chrome = await browser();
});
after(async () => {
  await chrome?.close();
  assert.equal(await server?.close(), 0);
});

/** Runs with a page that nothing goes wrong in. */
async function seen(place, work, options) {
  const { page, context, wrong } = await newPage(chrome, server, options);
  if (place) await page.goto(server.at(place));
  await work(page);
  assert.deepEqual(wrong, []);
  await context.close();
}

test('the token leaves the address', () => seen('', async (page) => {
  assert.ok(!page.url().includes('token'), page.url());
}));

test('summary: classes, objects, fields, retainers', () => seen('/f/1/summary', async (page) => {
  await row(page, 'Classes', 'Leak').waitFor();
  const sizes = await column(page, 'Classes', 'retained');
  assert.ok(sizes.length > 10);
  await page.getByRole('searchbox', { name: 'Class filter' }).fill('leak');
  await page.getByText(/^1 of/).waitFor();
  assert.match(page.url(), /class=leak/);
  const grid = page.getByRole('treegrid', { name: 'Classes' });
  await grid.focus();
  await page.keyboard.press('ArrowDown');
  await page.keyboard.press('ArrowRight');
  await grid.locator('[aria-level="2"]').first().waitFor();
  await page.keyboard.press('ArrowRight');
  await page.locator('.pane-title', { hasText: 'Leak' }).waitFor();
  await row(page, 'Retainers', 'in').waitFor();
  await page.keyboard.press('ArrowRight');
  await grid.locator('[aria-level="3"]').first().waitFor();
  // The way as a story, the object itself; the address has all of it.
  await page.getByRole('tab', { name: 'Story' }).click();
  await page.locator('.story li').first().waitFor();
  await page.getByRole('tab', { name: 'Object' }).click();
  await page.getByText('Retained size').last().waitFor();
  const url = page.url();
  assert.match(url, /node=%40\d+/);
  await page.reload();
  await page.locator('.pane-title', { hasText: 'Leak' }).waitFor();
  assert.equal(await page.getByRole('tab', { name: 'Object' }).getAttribute('aria-selected'), 'true');
  assert.equal(await page.getByRole('searchbox', { name: 'Class filter' }).inputValue(), 'leak');
}));

test('a holder can be ignored, and counts again', () => seen('/f/1/summary?class=Leak', async (page) => {
  await page.locator('.toggle').first().click();
  const grid = page.getByRole('treegrid', { name: 'Classes' });
  await grid.locator('[aria-level="2"]').first().click();
  const holder = page.getByRole('treegrid', { name: 'Retainers' }).locator('.row').first();
  await holder.hover();
  await holder.getByRole('button', { name: 'ignore' }).click();
  await page.locator('.chip').waitFor();
  await page.locator('.chip').click();
  await page.locator('.chip').waitFor({ state: 'detached' });
  await row(page, 'Retainers', 'in').waitFor();
}));

test('sorting is the server\'s, and the address keeps it', () => seen('/f/1/summary', async (page) => {
  await row(page, 'Classes', 'Leak').waitFor();
  await page.getByRole('button', { name: 'Objects' }).click();
  await page.waitForFunction(() => document.querySelector('[aria-sort=descending]')?.textContent?.startsWith('Objects'));
  await row(page, 'Classes', 'Leak').waitFor();
  const counts = (await column(page, 'Classes', 'count')).map((text) => Number(text.replaceAll(',', '')));
  assert.deepEqual(counts, [...counts].sort((a, b) => b - a));
  assert.match(page.url(), /sort=count/);
}));

test('named filters', () => seen('/f/1/summary', async (page) => {
  await page.getByRole('combobox', { name: 'Which objects' }).selectOption('duplicated-strings');
  await page.getByText(/^\d+ classes?, /).waitFor();
  await row(page, 'Classes', '(string)').waitFor();
}));

test('comparison: what is new and what went', () => seen('/f/1/comparison', async (page) => {
  const leak = row(page, 'Classes that changed', 'Leak');
  await leak.waitFor();
  assert.equal(await leak.locator('[data-column="delta"]').textContent(), '+200');
  await leak.locator('.toggle').click();
  await page.locator('.mark.new').first().waitFor();
}));

test('containment, dominators as a tree and as a map', () => seen('/f/1/containment', async (page) => {
  await row(page, 'Containment', '(GC roots)').waitFor();
  await page.getByRole('link', { name: 'Dominators' }).click();
  await page.getByRole('treegrid', { name: 'Dominators' }).locator('.row[aria-level="1"]').first().waitFor();
  await page.getByRole('button', { name: 'Map' }).click();
  await page.locator('.area').first().waitFor();
  assert.ok(await page.locator('.area').count() > 10);
  await page.locator('.map > .area').first().focus();
  await page.keyboard.press('Enter');
  await page.locator('.crumbs button').first().waitFor();
  await page.keyboard.press('Escape');
  // Back and forward go from view to view.
  await page.goBack();
  await row(page, 'Containment', '(GC roots)').waitFor();
  await page.goForward();
  await page.locator('.area').first().waitFor();
}));

test('statistics, strings, suspects, packages', () => seen('/f/1/statistics', async (page) => {
  await page.getByRole('img', { name: /The heap by kind/ }).waitFor();
  await page.getByRole('link', { name: 'Strings' }).click();
  await row(page, 'Equal strings', 'dup-string').waitFor();
  await page.getByRole('button', { name: 'Largest' }).click();
  await page.getByRole('treegrid', { name: 'The largest strings' }).locator('.id').first().waitFor();
  await page.getByRole('link', { name: 'Suspects' }).click();
  await page.getByRole('heading', { level: 1 }).waitFor();
  await page.getByRole('link', { name: 'Packages' }).click();
  await row(page, 'Memory by package', 'node:').waitFor();
}));

test('search by name, id, expression and query', () => seen('/f/1/summary', async (page) => {
  await page.keyboard.press('s');
  await page.keyboard.type('Leak');
  await page.keyboard.press('Enter');
  await row(page, 'Objects that were found', 'Leak').waitFor();
  const id = await page.locator('.id').first().textContent();
  const box = page.getByRole('searchbox', { name: 'Name, @id, /regex/ or query' });
  await box.fill(id.trim());
  await box.press('Enter');
  await page.getByText('1 object, shallow size').waitFor();
  await box.fill('/^Lea.$/');
  await box.press('Enter');
  await row(page, 'Objects that were found', 'Leak').waitFor();
  await box.fill('class == "Leak" order by retained desc limit 3');
  await box.press('Enter');
  await row(page, 'Answer', 'Leak').waitFor();
  await box.fill('class == ');
  await box.press('Enter');
  await page.locator('pre.wrong').waitFor();
}));

test('a query\'s words have the room, and its ids do not', () => seen(`/f/1/search?text=${encodeURIComponent('class == "Leak"')}`, async (page) => {
  await row(page, 'Answer', 'Leak').waitFor();
  const widths = await page.getByRole('treegrid', { name: 'Answer' }).getByRole('columnheader')
    .evaluateAll((cells) => cells.map((cell) => [cell.textContent, cell.offsetWidth]));
  const of = (name) => widths.find(([text]) => text === name)[1];
  assert.ok(of('Id') < of('Class') && of('Class') < of('Name'), String(widths));
}, { viewport: { width: 1400, height: 800 } }));

test('headings are read whole, and the view that is open is seen, where it is narrow', () => seen('/f/1/summary', async (page) => {
  for (const view of ['summary', 'containment', 'dominators', 'search?text=Leak', 'packages']) {
    await page.goto(server.at(`/f/1/${view}`));
    await page.locator('.grid .row:not(.waits)').first().waitFor();
    const cut = await page.locator('.grid-head .sort > span:first-child')
      .evaluateAll((names) => names.filter((name) => name.scrollWidth > name.clientWidth || name.scrollHeight > 30).map((name) => name.textContent));
    assert.deepEqual(cut, [], view);
    const tab = await page.locator('.tabs [aria-current]').boundingBox();
    assert.ok(tab.x >= 0 && tab.x + tab.width <= 400, `${view}: ${tab.x}`);
  }
}, { viewport: { width: 400, height: 800 } }));

test('spaces and control characters of strings are seen', async () => {
  const file = path.join(process.env.SCRATCH, 'spaces.heapsnapshot');
  execFileSync(process.env.NODE_BINARY, ['-e', `
    const keep = globalThis.keep = [];
    for (const text of [' '.repeat(4), ' '.repeat(8), ' '.repeat(16), ' '.repeat(20), 'a\\t\\u0007  b\\u202e"'])
      for (let n = 0; n < 9; n += 1) keep.push(Buffer.from(text).toString());
    globalThis['two  spaces'] = { ' lead': keep };
    require('v8').writeHeapSnapshot(${JSON.stringify(file)});`]);
  const own = await open([file]);
  const { page, context, wrong } = await newPage(chrome, own);
  await page.goto(own.at('/f/0/strings?text=%2F%5E(+%2B%7Ca%5Ct.*)%24%2F'));
  await row(page, 'Equal strings', '\\u{7}').waitFor();
  // As it is seen: with white space collapsed where the page collapses it.
  const values = await page.getByRole('treegrid', { name: 'Equal strings' }).locator('.string').evaluateAll((all) => all.map((one) => one.innerText));
  for (const length of [4, 8, 16, 20]) assert.ok(values.includes(`"${' '.repeat(length)}"`), JSON.stringify(values));
  assert.ok(values.includes('"a\\t\\u{7}  b\\u{202e}\\""'), JSON.stringify(values));
  const widths = await page.getByRole('treegrid', { name: 'Equal strings' }).locator('.string').evaluateAll((all) => all.map((one) => one.offsetWidth));
  assert.equal(new Set(widths).size, widths.length, String(widths));
  // Also where lines are broken: the way of an object in words.
  await page.getByRole('button', { name: 'Largest' }).click();
  await page.getByRole('treegrid', { name: 'The largest strings' }).locator('.row').filter({ hasText: '\\u{7}' }).first().click();
  await page.getByRole('tab', { name: 'Story' }).click();
  await page.locator('.story li').first().waitFor();
  assert.match(await page.locator('.pane-title').evaluate((title) => title.innerText), /\\u\{7\}  b/);
  assert.equal(await page.locator('.story li').first().evaluate((item) => getComputedStyle(item).whiteSpace), 'pre-wrap');
  assert.deepEqual(wrong, []);
  await context.close();
  await own.close();
});

test('what the server does not know is said', () => seen('/f/7/summary', async (page) => {
  await page.getByRole('heading', { name: 'There is no such file' }).waitFor();
}));

/** A profile in which `keep` has so many bytes. */
function profile(bytes) {
  const frame = (name, id, size, children = []) => ({
    callFrame: { functionName: name, scriptId: '1', url: '/srv/app.js', lineNumber: id, columnNumber: 0 }, selfSize: size, id, children,
  });
  return JSON.stringify({ head: frame('(root)', 1, 0, [frame('handle', 2, 0, [frame('keep', 3, bytes), frame('parse', 4, 50_000)])]), samples: [] });
}

test('profiles: flame graph, table, difference, series', async () => {
  const names = [1, 2, 3].map((n) => path.join(process.env.SCRATCH, `${n}.heapprofile`));
  names.forEach((name, at) => fs.writeFileSync(name, profile(100_000 * (at + 1))));
  const own = await open(names);
  const { page, context, wrong } = await newPage(chrome, own);
  await page.goto(own.at('/f/2/flame'));
  await page.locator('.flame canvas').waitFor();
  await page.getByRole('searchbox', { name: 'Mark functions' }).fill('keep');
  await page.getByText('1 frame, 293.0 KiB (86 %)').waitFor();
  await page.getByRole('link', { name: 'Table' }).click();
  await row(page, 'Functions', 'keep').waitFor();
  await page.getByRole('link', { name: 'Difference' }).click();
  await row(page, 'Differences', 'keep').getByText('+195.3 KiB').first().waitFor();
  await page.getByRole('link', { name: 'Series' }).click();
  await row(page, 'Growth over the series', 'keep').getByText('+97.7 KiB').waitFor();
  assert.deepEqual(wrong, []);
  await context.close();
  await own.close();
});

test('profiles: no more digits than the samples carry, and each sentence on its line', async () => {
  const own = await open([fixture('node-22.23.3.heapprofile'), fixture('node-20.20.2.heapprofile')]);
  const { page, context, wrong } = await newPage(chrome, own);
  for (const view of ['flame', 'table']) {
    await page.goto(own.at(`/f/0/${view}`));
    await page.getByText('estimated from 20 samples').waitFor();
    const lines = (await page.locator('.toolbar .sum').evaluate((sum) => sum.innerText)).split('\n');
    assert.deepEqual(lines, ['84 KiB ±22 %, estimated from 20 samples', '97 % of what was sampled has been collected: it is allocated and freed (793 samples in all)']);
  }
  const churn = row(page, 'Functions', 'churn');
  assert.match(await churn.locator('[data-column="self_size"]').textContent(), /^79 KiB/);
  assert.equal(await churn.locator('[data-column="self_error"]').textContent(), '±23 %');
  assert.match(await churn.locator('[data-column="total_size"]').textContent(), /^79 KiB/);
  assert.ok(!(await column(page, 'Functions', 'name')).some((name) => name.includes('(root)')));
  const headings = await page.getByRole('treegrid', { name: 'Functions' }).getByRole('columnheader').allTextContents();
  assert.deepEqual(headings.map((text) => text.replace(/[▲▼]/, '')), ['Function', 'Self size', '±', 'Total size']);
  await page.goto(own.at('/f/0/changes'));
  assert.match(await row(page, 'Differences', 'churn').locator('[data-column="self_size_after"]').textContent(), /^79 KiB$/);
  await page.goto(own.at('/f/0/flame?mark=churn'));
  await page.getByText('1 frame, 79 KiB (93 %)').waitFor();
  assert.deepEqual(wrong, []);
  await context.close();
  await own.close();
});

test('no serious finding of axe, at three widths and in both themes', async () => {
  for (const [width, colorScheme] of [[360, 'light'], [1024, 'dark'], [1920, 'light']]) {
    const { page, context, wrong } = await newPage(chrome, server, { viewport: { width, height: 800 }, colorScheme });
    for (const view of ['summary?node=@3', 'comparison', 'containment', 'dominators', 'dominators?as=map', 'statistics', 'suspects', 'strings', 'packages', 'search?text=Leak']) {
      await page.goto(server.at(`/f/1/${view}`));
      await page.locator('.grid .row:not(.waits), .area, .card, .legend, .page h1').first().waitFor();
      assert.deepEqual(await barriers(page), [], `${view} at ${width}`);
      const sideways = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      assert.equal(sideways, 0, `${view} at ${width} is too wide`);
    }
    assert.deepEqual(wrong, []);
    await context.close();
  }
});
