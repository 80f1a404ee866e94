// Preloaded by `run.py --verify`: on SIGUSR2 it collects garbage and appends one line to the file PROBE_OUT, the bytes
// that the heaps of all threads and what they hold outside of the heap have. It is no part of what is measured.
'use strict';

const { appendFileSync } = require('node:fs');
const { BroadcastChannel, isMainThread } = require('node:worker_threads');

const turn = () => new Promise((resolve) => setImmediate(resolve));

async function used() {
  for (let i = 0; i < 4; i += 1) {
    globalThis.gc();
    await turn();
  }
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

const asks = new BroadcastChannel('probe-asks');
const answers = new BroadcastChannel('probe-answers');
asks.unref();
answers.unref();

if (isMainThread) {
  let sum = 0;
  answers.onmessage = (event) => {
    sum += event.data;
  };
  process.on('SIGUSR2', async () => {
    sum = 0;
    asks.postMessage(0);
    const own = await used();
    await new Promise((resolve) => setTimeout(resolve, 300));
    appendFileSync(process.env.PROBE_OUT, `${own + sum}\n`);
  });
} else {
  asks.onmessage = async () => answers.postMessage(await used());
}
