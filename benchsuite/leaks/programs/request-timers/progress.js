'use strict';

const { debuglog } = require('node:util');

const debug = debuglog('progress');
const EVERY_MS = 15_000;

/** Says now and then how far a long task has come. */
class Progress {
  constructor(label) {
    this.label = label;
    this.done = 0;
    this.ended = undefined;
    this.timer = undefined;
  }

  start() {
    this.started = Date.now();
    this.timer = setInterval(() => {
      debug('%s: %d %%, %d s', this.label, Math.round(this.done * 100), (Date.now() - this.started) / 1000);
    }, EVERY_MS);
  }

  advance(by) {
    this.done = Math.min(1, this.done + by);
  }

  finish() {
    this.ended = Date.now();
    debug('%s: done', this.label);
  }

  cancel() {
    clearInterval(this.timer);
  }
}

module.exports = { Progress };
