'use strict';
// With node:test.

const assert = require('node:assert/strict');
const test = require('node:test');
const { expectNoGrowth } = require('heapsight');
const { Store } = require('./store.cjs');

test('sessions that are closed are gone', async () => {
  const store = new Store();
  await expectNoGrowth(() => store.close(store.open()));
});

test('sessions that stay are found', async () => {
  const store = new Store();
  await assert.rejects(expectNoGrowth(() => store.open()), /allocated in open \(.*store\.cjs:/);
});
