'use strict';

const { Readable } = require('node:stream');

/** Lines about the machine, one now and then. */
class Feed extends Readable {
  constructor({ every }) {
    super({ encoding: 'utf8' });
    this.setMaxListeners(0);
    this.lines = 0;
    this.timer = setInterval(() => this.write(), every);
    this.resume();
  }

  write() {
    this.lines += 1;
    this.push(`${new Date().toISOString()} line ${this.lines} rss ${process.memoryUsage.rss()}\n`);
  }

  _read() {}

  _destroy(error, callback) {
    clearInterval(this.timer);
    callback(error);
  }
}

module.exports = { Feed };
