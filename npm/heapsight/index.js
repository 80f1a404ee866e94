'use strict';

const { HeapsightError } = require('./lib/errors.js');
const { expectNoGrowth } = require('./lib/growth.js');
const { serveCaptures } = require('./lib/http.js');
const { startSampling, writeSampling, stopSampling } = require('./lib/sampling.js');
const { captureOnSignal } = require('./lib/signals.js');
const { writeHeapSnapshot } = require('./lib/snapshot.js');
const { recordTimeline } = require('./lib/timeline.js');

module.exports = {
  HeapsightError,
  captureOnSignal,
  expectNoGrowth,
  recordTimeline,
  serveCaptures,
  startSampling,
  stopSampling,
  writeHeapSnapshot,
  writeSampling,
};
