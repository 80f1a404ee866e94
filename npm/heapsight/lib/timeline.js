'use strict';
// Allocation timelines: every allocation while a function runs, and what of it stays. For a test machine: programs run
// several times slower meanwhile, with stacks some twenty times.

const fs = require('fs');
const { HeapsightError } = require('./errors.js');
const files = require('./files.js');
const inspector = require('./inspector.js');
const room = require('./room.js');
const turn = require('./turn.js');

/**
 * Records while `work` runs, and writes the timeline however that ends.
 *
 * The chunks come one after the other while V8 holds the thread, so they are written as they come: kept, they would take
 * as much memory again.
 */
async function recordTimeline(work, { file, stacks = true, force = false } = {}) {
  if (typeof work !== 'function') throw new HeapsightError('ARGUMENT', 'recordTimeline takes a function');
  return turn.take('an allocation timeline', async () => {
    if (!force) room.check('v8');
    const target = await files.place(file, 'heaptimeline');
    const begun = Date.now();
    let bytes = 0;
    let result;
    await files.whole(target, async (partial) => {
      const output = fs.openSync(partial, 'w', 0o600);
      let failure;
      const chunk = (params) => {
        if (failure) return;
        try {
          const data = Buffer.from(params.chunk, 'utf8');
          for (let at = 0; at < data.length; ) at += fs.writeSync(output, data, at);
          bytes += data.length;
        } catch (error) {
          failure = error;
        }
      };
      try {
        await inspector.ask('HeapProfiler.startTrackingHeapObjects', { trackAllocations: stacks });
        let thrown;
        try {
          result = await work();
        } catch (error) {
          thrown = { error };
        }
        const stop = () => inspector.ask('HeapProfiler.stopTrackingHeapObjects', { reportProgress: false });
        await inspector.listening('HeapProfiler.addHeapSnapshotChunk', chunk, stop);
        if (thrown) throw thrown.error;
        if (failure) throw failure;
      } finally {
        fs.closeSync(output);
      }
    });
    return { file: target, bytes, durationMs: Date.now() - begun, result };
  });
}

module.exports = { recordTimeline };
