'use strict';

const crypto = require('node:crypto');

class Upload {
  constructor(name) {
    this.name = name;
    this.bytes = 0;
    this.hash = crypto.createHash('sha1');
    this.begun = Date.now();
    this.finished = false;
    // A half of a file must not stay behind.
    process.on('beforeExit', () => this.abort());
  }

  take(chunk) {
    this.bytes += chunk.length;
    this.hash.update(chunk);
  }

  done() {
    this.finished = true;
    this.digest = this.hash.digest('hex');
    this.hash = null;
  }

  abort() {
    if (!this.finished) console.error(`${this.name}: broken off after ${this.bytes} bytes`);
  }
}

module.exports = { Upload };
