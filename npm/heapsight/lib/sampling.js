'use strict';
// Sampling profiles of this isolate: which functions allocated what is alive. Made for production.

const { HeapsightError } = require('./errors.js');
const files = require('./files.js');
const inspector = require('./inspector.js');

const INTERVAL = 512 * 1024;
/** Deeper results abort some versions of Node.js (26) when they are read. */
const DEEPEST = 128;

let running = false;

const profile = () => inspector.ask('HeapProfiler.getSamplingProfile').then((answer) => answer.profile);

/** V8 has one sampling profiler for all of a thread's sessions: a second start is ignored, and its stop ends both. */
async function startSampling({ interval = INTERVAL, stackDepth = DEEPEST, collected = false } = {}) {
  if (!(interval >= 1)) throw new HeapsightError('ARGUMENT', 'interval must be a positive number of bytes');
  if (!(stackDepth >= 1)) throw new HeapsightError('ARGUMENT', 'stackDepth must be a positive number of frames');
  if (running) throw new HeapsightError('BUSY', 'sampling runs already');
  running = true;
  try {
    const other = await profile().then(
      () => true,
      () => false,
    );
    if (other) throw new HeapsightError('BUSY', 'another profiler samples this thread already');
    await inspector.ask('HeapProfiler.startSampling', {
      samplingInterval: interval,
      stackDepth: Math.min(stackDepth, DEEPEST),
      includeObjectsCollectedByMajorGC: collected,
      includeObjectsCollectedByMinorGC: collected,
    });
  } catch (error) {
    running = false;
    throw error;
  }
}

function check() {
  if (!running) throw new HeapsightError('NOT_RUNNING', 'sampling does not run: call startSampling first');
}

/** Writes a profile, if it is to have a file. */
async function store(result, file, always) {
  if (file === undefined && !always) return { profile: result };
  const target = await files.place(file, 'heapprofile');
  await files.text(target, JSON.stringify(result));
  return { profile: result, file: target };
}

async function writeSampling(file) {
  check();
  return store(await profile(), file, true);
}

async function stopSampling(file) {
  check();
  running = false;
  const { profile: result } = await inspector.ask('HeapProfiler.stopSampling');
  return store(result, file, false);
}

module.exports = { startSampling, writeSampling, stopSampling, isSampling: () => running };
