'use strict';

const { once } = require('node:events');
const { Writable } = require('node:stream');

/** Stands for a file on a network share that has stopped answering: the first write does not return. */
class Share extends Writable {
  constructor() {
    super({ highWaterMark: 16 });
  }

  _write(chunk, encoding, callback) {
    this.unfinished = callback;
  }
}

/** Writes one entry after another, in the order in which they came. */
class AuditFile {
  constructor() {
    this.file = new Share();
    this.last = Promise.resolve();
    this.written = 0;
  }

  async open() {
    this.file.on('error', (error) => console.error(error.message));
  }

  append(entry) {
    this.last = this.last.then(() => this.write(entry));
    return this.last;
  }

  async write(entry) {
    const line = `${JSON.stringify(entry)}\n`;
    if (!this.file.write(line)) await once(this.file, 'drain');
    this.written += 1;
  }
}

module.exports = { AuditFile };
