'use strict';

/** What happened since the last look at it. */
module.exports = {
  counters: { requests: 0, errors: 0 },
  timings: [],
  text() {
    const mean = this.timings.reduce((sum, timing) => sum + timing.ms, 0) / (this.timings.length || 1);
    return `requests ${this.counters.requests}\nerrors ${this.counters.errors}\nmean_ms ${mean.toFixed(3)}\n`;
  },
};
