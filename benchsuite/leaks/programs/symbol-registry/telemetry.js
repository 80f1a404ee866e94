'use strict';

const { performance } = require('node:perf_hooks');

// Several copies of this module may be installed; they share what they measure.
const KEY = Symbol.for('acme.telemetry');
const shared = (globalThis[KEY] ??= { version: 2, measurements: [], totals: { count: 0, time: 0 } });

function start(name, attributes = {}) {
  const measurement = { name, start: performance.now(), attributes: { ...attributes }, duration: undefined };
  return (more) => {
    measurement.duration = performance.now() - measurement.start;
    Object.assign(measurement.attributes, more);
    shared.totals.count += 1;
    shared.totals.time += measurement.duration;
    shared.measurements.push(measurement);
  };
}

function summary() {
  return { version: shared.version, ...shared.totals, last: shared.measurements.at(-1)?.name };
}

module.exports = { start, summary };
