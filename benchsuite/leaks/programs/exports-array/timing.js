'use strict';

const { timings, counters } = require('./metrics');

function timed(name, work) {
  const begun = process.hrtime.bigint();
  try {
    return work();
  } catch (error) {
    counters.errors += 1;
    throw error;
  } finally {
    const ms = Number(process.hrtime.bigint() - begun) / 1e6;
    timings.push({ name, ms, at: new Date().toISOString(), tags: { node: process.version, name } });
  }
}

module.exports = { timed };
