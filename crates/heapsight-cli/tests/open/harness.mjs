// What the suites share: the command, the browser, and a page that notes whatever goes wrong in it.
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';

const require = createRequire(import.meta.url);
const { chromium } = require(process.env.PLAYWRIGHT);
const axe = path.join(process.env.AXE, 'axe.min.js');

/** What must not outlive the suite. */
const children = new Set();
process.on('exit', () => children.forEach((child) => child.kill('SIGINT')));

/** A capture of the fixtures. */
export const fixture = (name) => path.join(process.env.FIXTURES, name);

/** Starts `heapsight open`; gives the address that it prints, and what it says. */
export async function open(args, env = {}) {
  const child = spawn(process.env.HEAPSIGHT, ['open', '--no-browser', ...args], {
    env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'],
  });
  children.add(child);
  let said = '';
  let text = '';
  child.stderr.on('data', (part) => { said += part; });
  const ended = new Promise((done) => child.on('exit', (code) => {
    children.delete(child);
    done(code);
  }));
  const url = await new Promise((done, fail) => {
    child.stdout.on('data', (part) => {
      text += part;
      const found = /http:\S+\n/.exec(text);
      if (found) done(found[0].trim());
    });
    void ended.then((code) => fail(new Error(`it ended with ${code}: ${said}`)));
  });
  return {
    url, ended, said: () => said,
    at: (place) => new URL(place, url).href,
    close: async () => {
      if (child.exitCode !== null || child.signalCode !== null) throw new Error(`it had ended: ${child.exitCode} ${child.signalCode} ${said}`);
      child.kill('SIGINT');
      return ended;
    },
  };
}

/** Runs the command to its end. */
export async function run(args, env = {}) {
  const child = spawn(process.env.HEAPSIGHT, args, { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  let [out, said] = ['', ''];
  child.stdout.on('data', (part) => { out += part; });
  child.stderr.on('data', (part) => { said += part; });
  const code = await new Promise((done) => child.on('exit', done));
  return { code, out, said };
}

/** How a browser is started. */
export function browserOptions() {
  return {
    executablePath: process.env.CHROMIUM,
    args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
  };
}

/** A browser. */
export function browser() {
  return chromium.launch(browserOptions());
}

/** A page of a context of its own. What goes wrong in it is in `wrong`; requests to other hosts are in there, too. */
export async function page(chrome, server, options = {}) {
  const context = await chrome.newContext({ viewport: { width: 1100, height: 800 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  const wrong = [];
  page.on('console', (message) => {
    // A refusal that a test asks for is noted by the browser and is no fault of the page.
    if (['error', 'warning'].includes(message.type()) && !/Failed to load resource/.test(message.text())) wrong.push(message.text());
  });
  page.on('pageerror', (error) => wrong.push(error.stack));
  page.on('request', (request) => {
    if (!request.url().startsWith(new URL(server.url).origin) && !request.url().startsWith('data:')) wrong.push(request.url());
  });
  await page.goto(server.url);
  return { page, context, wrong };
}

/** What keeps people out of a page, by axe: its serious and critical findings. */
export async function barriers(page) {
  await page.evaluate(fs.readFileSync(axe, 'utf8'));
  const found = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'] }));
  const serious = found.violations.filter((one) => ['serious', 'critical'].includes(one.impact));
  return serious.map((one) => `${one.id}: ${one.nodes.map((node) => node.html).slice(0, 3).join(' ')}`);
}

/** Texts of a column of a table, as far as they are drawn. */
export function column(page, label, name) {
  return page.getByRole('treegrid', { name: label }).locator(`[data-column="${name}"]:visible`).allTextContents();
}

/** Waits until a table has a row with this text. */
export function row(page, label, text) {
  return page.getByRole('treegrid', { name: label }).locator('.row').filter({ hasText: text }).first();
}
