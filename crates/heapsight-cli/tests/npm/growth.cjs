'use strict';
// What is called growth and what is not.

const assert = require('assert/strict');
const { EventEmitter } = require('events');
const fs = require('fs');
const http = require('http');
const test = require('node:test');
const { expectNoGrowth, startSampling, stopSampling } = require('heapsight');

const emitter = new EventEmitter().setMaxListeners(0);
const leaks = {
  'objects in an array': ((kept) => function leak() { kept.push({ a: 1 }); })([]),
  'numbers in a set': ((kept, next) => function leak() { kept.add((next += 1.5)); })(new Set(), 0),
  'strings in a map': ((kept, next) => function leak() { kept.set(`key ${next++}`, 1); })(new Map(), 0),
  'listeners of an emitter': function leak() { emitter.on('event', () => {}); },
  'timers': function leak() { setTimeout(() => {}, 1e6).unref(); },
  'promises that wait': ((kept) => async function leak() { kept.push(new Promise(() => {})); await null; })([]),
};
const clean = {
  'garbage': () => JSON.parse(JSON.stringify({ a: [1, 2, 3], b: { c: 'x'.repeat(100) } })),
  'a cache that drops entries': ((cache, next) => () => {
    cache.set(next++, { next });
    if (cache.size > 10) cache.delete(cache.keys().next().value);
  })(new Map(), 0),
  'code that is compiled anew': () => new Function('a', 'return a + 1')(1),
  'classes made anew': () => new (class { field = 1; })().field,
  'files': () => fs.promises.readFile(__filename),
  'weak references': ((kept) => () => { kept.add({ next: 1 }); })(new WeakSet()),
  'an emitter that is left again': async () => {
    const listener = () => {};
    emitter.on('event', listener);
    await new Promise((resolve) => setImmediate(resolve));
    emitter.off('event', listener);
  },
};

for (const [name, leak] of Object.entries(leaks)) {
  test(`a leak: ${name}`, async () => {
    const error = await expectNoGrowth(leak).then(() => assert.fail('nothing was found'), (failure) => failure);
    assert.equal(error.code, 'ERR_HEAPSIGHT_GROWTH', error.stack);
    assert.match(error.message, /^memory grew in each of 5 rounds of 20 calls\n {2}\+\d+ B a call, allocated in leak \(.*growth\.cjs:\d+:\d+\)/);
    assert.ok(error.growth[0].perCall > 8 && error.growth[0].perCall < 400, error.message);
    assert.equal(error.growth[0].rounds.length, 5);
  });
}

for (const [name, work] of Object.entries(clean)) {
  test(`no leak: ${name}`, async () => {
    assert.deepEqual(await expectNoGrowth(work), { rounds: 5, times: 20 });
  });
}

test('a leak of one object in each of two calls', async () => {
  const kept = [];
  const error = await expectNoGrowth(() => void kept.push({ a: 1, b: 2, c: 3, d: 4, e: 5 }), { times: 2, rounds: 4 }).catch((failure) => failure);
  assert.match(error.message, /^memory grew in each of 4 rounds of 2 calls/);
});

test('no leak: a server and its client', async () => {
  const server = http.createServer((request, response) => response.end('hello'));
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  const get = () =>
    new Promise((resolve, reject) => {
      http.get({ port, host: '127.0.0.1', agent: false }, (response) => response.resume().on('end', resolve)).on('error', reject);
    });
  await expectNoGrowth(get, { times: 10, rounds: 4 });
  server.close();
});

test('the buffers that are held are told, though they are outside of the heap', async () => {
  const kept = [];
  const error = await expectNoGrowth(() => void kept.push(Buffer.alloc(10000))).catch((failure) => failure);
  assert.match(error.message, /\+9\.8 KiB a call in buffers, outside of the heap/);
});

test('what is ignored is not counted', async () => {
  const kept = [];
  function recorder() {
    kept.push({ a: 1 });
  }
  await expectNoGrowth(() => recorder(), { ignore: /recorder/ });
});

test('with snapshots the holder is named', async () => {
  class Registry {
    constructor() {
      this.sessions = new Map();
    }
  }
  const registry = new Registry();
  globalThis.registry = registry;
  let next = 0;
  const add = () => registry.sessions.set(next++, { user: `user ${next}` });
  const error = await expectNoGrowth(add, { snapshots: true, times: 100 }).catch((failure) => failure);
  assert.match(error.message, /\n {2}held by Registry\.sessions/);
  assert.match(error.heldBy[0], /^Registry\.sessions/);
});

test('what cannot be is said', async () => {
  await assert.rejects(expectNoGrowth(), { code: 'ERR_HEAPSIGHT_ARGUMENT' });
  await assert.rejects(expectNoGrowth(() => {}, { rounds: 1 }), /rounds must be a whole number of 2 or more/);
  await assert.rejects(expectNoGrowth(() => Promise.reject(new Error('boom'))), /boom/);
  await startSampling();
  await assert.rejects(expectNoGrowth(() => {}), { code: 'ERR_HEAPSIGHT_BUSY' });
  await stopSampling();
});
