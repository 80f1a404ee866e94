'use strict';
// `heap-profile` runs what was written for the native module of this name. It has no node:test on the oldest version.

const assert = require('assert').strict;
const fs = require('fs');
const os = require('os');
const path = require('path');
const { execFileSync } = require('child_process');
const heapProfile = require('heap-profile');

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'heap-profile-'));
process.on('exit', () => fs.rmSync(folder, { recursive: true, force: true }));
const modules = path.resolve('node_modules');
const command = (...args) => execFileSync(path.join(modules, '@heapsight/linux-x64/heapsight'), args, { encoding: 'utf8' });
const run = (cwd, ...args) => execFileSync(process.execPath, args, { cwd, encoding: 'utf8', env: { ...process.env, NODE_PATH: modules } });
const find = (node, is) => (is(node) ? node : node.children.map((child) => find(child, is)).find(Boolean));

/** Folders for programs of their own. */
function fresh(name, files) {
  const made = path.join(folder, name);
  fs.mkdirSync(made);
  for (const [file, text] of Object.entries(files)) fs.writeFileSync(path.join(made, file), text);
  return made;
}

const kept = [];
function allocator() {
  for (let i = 0; i < 20000; i++) kept.push({ i });
}

const tests = {
  'the program of the old README runs as it stands'() {
    const [, program] = /```javascript\n([^]*?)```/.exec(fs.readFileSync('heap-profile-0.4.0.md', 'utf8'));
    assert.match(program, /60 \* 60 \* 1000\)\.unref\(\)/);
    // It waits for nothing and ends.
    const idle = fresh('idle', { 'program.js': program });
    assert.equal(run(idle, 'program.js'), '');
    assert.deepEqual(fs.readdirSync(idle), ['program.js']);
    // With a clock on which an hour is 20 ms, and something to find; until it has said three times what it wrote.
    const clock = `const kept = [];
      const real = setInterval;
      globalThis.setInterval = (work, time, ...rest) => {
        kept.push(Array.from({ length: 200000 }, (_, i) => ({ i })));
        return real(work, time / 180000, ...rest);
      };
      const log = console.log;
      console.log = (text) => { log(text); if (kept.push(text) === 4) process.exit(); };
      setTimeout(() => {}, 60000);`;
    const busy = fresh('busy', { 'program.js': program, 'clock.js': clock });
    const printed = run(busy, '-r', './clock.js', 'program.js').trim().split('\n');
    assert.equal(printed.length, 3);
    for (const line of printed) {
      const [, file] = /^heapProfile\.write\. err: null filename: (heap-profile-\d{13}\.heapprofile)$/.exec(line);
      assert.match(command('profile', 'top', path.join(busy, file)), /clock\.js/);
    }
  },

  'before it is started'() {
    assert.throws(() => heapProfile.get(), { message: 'get can only be called after profiler has been started' });
    heapProfile.stop();
    return assert.rejects(heapProfile.write(), { message: 'profiler not running' });
  },

  'a callback learns that it does not run'() {
    return new Promise((resolve, reject) => {
      const callback = (error, file) => {
        if (error.message === 'profiler not running' && file === undefined) resolve();
        else reject(error);
      };
      assert.equal(heapProfile.write(callback), undefined);
    });
  },

  'both trees have what was allocated'() {
    heapProfile.start({ sampleIntervalBytes: 1024, stackDepth: 16 });
    heapProfile.start({ sampleIntervalBytes: 1 });
    allocator();
    const native = find(heapProfile.get(), ({ name }) => name === 'allocator');
    const devtools = find(heapProfile.get(true), ({ functionName }) => functionName === 'allocator');
    const line = fs.readFileSync(__filename, 'utf8').split('\n').indexOf('function allocator() {') + 1;
    for (const node of [native, devtools]) {
      assert.equal(node.lineNumber, line);
      assert.equal(typeof node.scriptId, 'number');
      assert.ok((node.scriptName || node.url).endsWith(__filename));
    }
    const bytes = native.allocations.reduce((sum, { size, count }) => sum + size * count, 0);
    // 20,000 objects of 28 to 40 bytes and what holds them.
    for (const size of [bytes, devtools.selfSize]) assert.ok(size > 300e3 && size < 2e6, String(size));
    assert.deepEqual(Object.keys(native).sort(), ['allocations', 'children', 'columnNumber', 'lineNumber', 'name', 'scriptId', 'scriptName']);
    assert.deepEqual(Object.keys(devtools).sort(), ['children', 'columnNumber', 'functionName', 'lineNumber', 'scriptId', 'selfSize', 'url']);
  },

  async 'a file is whole, private, and opens'() {
    const file = path.join(folder, 'named.heapprofile');
    assert.equal(await heapProfile.write(file), file);
    assert.equal(fs.statSync(file).mode & 0o777, 0o600);
    const { head, samples } = JSON.parse(fs.readFileSync(file, 'utf8'));
    assert.equal(head.callFrame.functionName, '(root)');
    assert.ok(samples.length > 100);
    assert.equal(JSON.parse(command('profile', 'top', file, '--json')).functions[0].name, 'allocator');
    const written = await new Promise((resolve, reject) => heapProfile.write(file, (error, name) => (error ? reject(error) : resolve(name))));
    assert.equal(written, file);
    const missing = path.join(folder, 'no/such/folder.heapprofile');
    await assert.rejects(heapProfile.write(missing), { code: 'ENOENT', path: missing });
    assert.deepEqual(fs.readdirSync(folder).filter((name) => name.endsWith('.partial')), []);
    heapProfile.stop();
    assert.throws(() => heapProfile.get(), /has been started/);
  },

  async 'the flat layout, where it is asked for'() {
    heapProfile.start({ sampleIntervalBytes: 1024, layout: 'flat' });
    allocator();
    const file = await heapProfile.write(path.join(folder, 'flat.heapprofile'));
    const content = JSON.parse(fs.readFileSync(file, 'utf8'));
    assert.deepEqual(Object.keys(content), ['head']);
    assert.equal(content.head.functionName, '(root)');
    assert.equal(JSON.parse(command('profile', 'top', file, '--json')).functions[0].name, 'allocator');
    heapProfile.stop();
  },

  'what a callback throws is nobody else\'s'() {
    const program = `const heapProfile = require('heap-profile');
      heapProfile.start();
      let calls = 0;
      process.on('uncaughtException', (error) => console.log(error.message, ++calls));
      heapProfile.write(() => { throw new Error('mine'); });`;
    assert.equal(run(fresh('throws', { 'program.js': program }), 'program.js'), 'mine 1\n');
  },

  'what cannot be is said'() {
    assert.throws(() => heapProfile.start({ sampleIntervalBytes: 0 }), /sampleIntervalBytes must be a positive number/);
    assert.throws(() => heapProfile.start({ layout: 'round' }), /layout must be/);
    assert.throws(() => heapProfile.get(), /has been started/);
  },
};

(async () => {
  for (const name of Object.keys(tests)) {
    try {
      await tests[name]();
    } catch (error) {
      console.error(`${name}: ${error.stack}`);
      process.exit(1);
    }
  }
  console.log(`${Object.keys(tests).length} passed`);
})();
