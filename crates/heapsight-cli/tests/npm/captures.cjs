'use strict';
// Captures from inside of the program, on whichever version runs this.

const assert = require('assert/strict');
const fs = require('fs');
const os = require('os');
const path = require('path');
const test = require('node:test');
const zlib = require('zlib');
const { execFileSync } = require('child_process');
const { Worker } = require('worker_threads');
const heapsight = require('heapsight');

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'heapsight-npm-'));
process.on('exit', () => fs.rmSync(folder, { recursive: true, force: true }));
const at = (name) => path.join(folder, name);
const command = (...args) => execFileSync(path.resolve('node_modules/@heapsight/linux-x64/heapsight'), args, { encoding: 'utf8' });
const failsWith = (code, pattern) => (error) => {
  assert.equal(error.code, `ERR_HEAPSIGHT_${code}`, error.stack);
  assert.match(error.message, pattern);
  return error instanceof heapsight.HeapsightError;
};
const mode = (file) => fs.statSync(file).mode & 0o777;

/** Children of this process, as the system has them. */
const children = () =>
  fs.readdirSync('/proc').filter((name) => {
    try {
      return new RegExp(`\\) . ${process.pid} `).test(fs.readFileSync(`/proc/${name}/stat`, 'latin1'));
    } catch (error) {
      return false;
    }
  });

class Account {
  constructor(number) {
    this.name = `account ${number}`;
  }
}
const accounts = [];
const open = (count) => {
  for (let i = 0; i < count; i++) accounts.push(new Account(i));
};

test('two fork snapshots can be compared object by object, with their files named', async () => {
  open(3000);
  const first = await heapsight.writeHeapSnapshot(at('a.heapsnapshot'), { method: 'fork', stableIds: true });
  open(200);
  const second = await heapsight.writeHeapSnapshot(at('b.heapsnapshot.gz'), { method: 'fork', stableIds: true });
  assert.equal(first.method, 'fork');
  assert.equal(first.file, at('a.heapsnapshot'));
  assert.equal(first.bytes, fs.statSync(first.file).size);
  assert.equal(second.bytes, zlib.gunzipSync(fs.readFileSync(second.file)).length);
  assert.ok(first.pauseMs > 0 && first.pauseMs < first.durationMs);
  const parsed = JSON.parse(fs.readFileSync(first.file, 'utf8')).snapshot;
  assert.deepEqual([parsed.node_count, parsed.edge_count], [first.nodes, first.edges]);
  for (const { file } of [first, second]) {
    assert.equal(mode(file), 0o600);
    assert.equal(mode(`${file}.meta.json`), 0o600);
  }
  const { classes } = JSON.parse(command('diff', first.file, second.file, '--json'));
  const account = classes.find(({ name }) => name === 'Account');
  assert.equal(account.added_count, 200);
  assert.equal(account.removed_count, 0);
  const side = JSON.parse(fs.readFileSync(`${first.file}.meta.json`, 'utf8'));
  assert.ok(side.scripts.some(({ url }) => url.endsWith('captures.cjs')));
});

test('V8 writes it in place where that is asked for', async () => {
  const file = at('in-place.heapsnapshot');
  const taken = await heapsight.writeHeapSnapshot(file, { method: 'v8' });
  assert.equal(taken.method, 'v8');
  assert.equal(mode(file), 0o600);
  assert.match(command('validate', file), /sound/);
});

test('a worker writes its own heap', async () => {
  const file = at('worker.heapsnapshot');
  const program = `
    globalThis.onlyHere = { theWorkersOwnProperty: 1 };
    const { parentPort, workerData } = require('worker_threads');
    require('heapsight').writeHeapSnapshot(workerData, { method: 'fork' }).then(
      (taken) => parentPort.postMessage(taken),
      (error) => parentPort.postMessage(error.stack),
    );`;
  const worker = new Worker(program, { eval: true, workerData: file });
  const taken = await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject));
  assert.equal(taken.method, 'fork', taken);
  await worker.terminate();
  assert.match(fs.readFileSync(file, 'latin1'), /theWorkersOwnProperty/);
});

test('one capture at a time, and one that is called off leaves nothing', async () => {
  const stop = new AbortController();
  const file = at('never.heapsnapshot');
  const running = heapsight.writeHeapSnapshot(file, { method: 'fork', signal: stop.signal });
  await assert.rejects(heapsight.writeHeapSnapshot(at('second')), failsWith('BUSY', /while a heap snapshot is taken/));
  stop.abort();
  await assert.rejects(running);
  const later = new AbortController();
  const child = heapsight.writeHeapSnapshot(file, { method: 'fork', signal: later.signal });
  await new Promise((resolve) => {
    const timer = setInterval(() => children().length && resolve(clearInterval(timer)), 1);
  });
  later.abort();
  await assert.rejects(child);
  assert.ok(!fs.existsSync(file));
});

test('what cannot be is said, and leaves nothing', async () => {
  const { writeHeapSnapshot } = heapsight;
  await assert.rejects(writeHeapSnapshot(at('x'), { method: 'magic' }), failsWith('ARGUMENT', /`magic` is none of auto, fork, v8/));
  await assert.rejects(writeHeapSnapshot(at('x'), { method: 'v8', stableIds: true }), failsWith('UNSUPPORTED', /need a fork/));
  await assert.rejects(writeHeapSnapshot(at('no/such/folder/x')), { code: 'ENOENT', path: at('no/such/folder/x') });
  await assert.rejects(heapsight.stopSampling(), failsWith('NOT_RUNNING', /startSampling first/));
  await assert.rejects(heapsight.startSampling({ interval: 0 }), failsWith('ARGUMENT', /interval/));
  await assert.rejects(heapsight.recordTimeline(), failsWith('ARGUMENT', /a function/));
  if (!zlib.createZstdCompress) {
    await assert.rejects(writeHeapSnapshot(at('x.zst'), { method: 'v8' }), failsWith('UNSUPPORTED', /name the file .gz/));
  }
});

test('a profile says who allocated, and sampling goes on when it is written', async () => {
  const kept = [];
  await heapsight.startSampling({ interval: 1024 });
  await assert.rejects(heapsight.startSampling(), failsWith('BUSY', /runs already/));
  (function allocator() {
    for (let i = 0; i < 20000; i++) kept.push({ i });
  })();
  const { file } = await heapsight.writeSampling(folder);
  assert.match(path.basename(file), new RegExp(`^Heap\\.\\d{8}\\.\\d{6}\\.${process.pid}\\.0\\.\\d{3}\\.heapprofile$`));
  assert.equal(mode(file), 0o600);
  const { profile } = await heapsight.stopSampling(at('end.heapprofile'));
  assert.deepEqual(JSON.parse(fs.readFileSync(at('end.heapprofile'), 'utf8')), profile);
  const { functions } = JSON.parse(command('profile', 'top', at('end.heapprofile'), '--json'));
  assert.equal(functions[0].name, 'allocator');
  await heapsight.startSampling();
  assert.equal((await heapsight.stopSampling()).file, undefined);
});

test('a timeline has what a function allocated, and hands its result through', async () => {
  const work = async () => {
    open(500);
    return 'done';
  };
  const recorded = await heapsight.recordTimeline(work, { file: at('t.heaptimeline') });
  assert.equal(recorded.result, 'done');
  assert.equal(recorded.bytes, fs.statSync(recorded.file).size);
  assert.match(command('validate', recorded.file), /sound/);
  const boom = heapsight.recordTimeline(() => Promise.reject(new Error('boom')), { file: at('failed.heaptimeline') });
  await assert.rejects(boom, /boom/);
  assert.ok(!fs.existsSync(at('failed.heaptimeline')));
});

test('nothing is left under a temporary name, and no child', () => {
  assert.deepEqual(fs.readdirSync(folder).filter((name) => name.endsWith('.partial')), []);
  assert.deepEqual(children(), []);
});
