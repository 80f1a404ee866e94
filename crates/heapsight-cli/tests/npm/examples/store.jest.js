'use strict';
// With Jest.

const { expectNoGrowth } = require('heapsight');
const { Store } = require('./store.cjs');

test('sessions that are closed are gone', async () => {
  const store = new Store();
  await expectNoGrowth(() => store.close(store.open()));
});

test('sessions that stay are found', async () => {
  const store = new Store();
  await expect(expectNoGrowth(() => store.open())).rejects.toThrow(/allocated in open \(.*store\.cjs:/);
});
