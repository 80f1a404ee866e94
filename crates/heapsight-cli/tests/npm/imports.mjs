// ES modules import both packages by name and whole, and get the same functions as `require`.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import heapProfile, * as profileNames from 'heap-profile';
import heapsight, * as heapsightNames from 'heapsight';

const require = createRequire(import.meta.url);
for (const [name, whole, names] of [['heapsight', heapsight, heapsightNames], ['heap-profile', heapProfile, profileNames]]) {
  const required = require(name);
  assert.equal(whole, required);
  assert.deepEqual(Object.keys(names).filter((key) => key !== 'default' && key !== 'module.exports').sort(), Object.keys(required).sort());
  for (const [key, value] of Object.entries(required)) assert.equal(names[key], value, key);
  assert.equal(require(`${name}/package.json`).name, name);
}
await import('heapsight/register');
