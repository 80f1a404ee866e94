'use strict';

const fs = require('node:fs/promises');

/** Collects lines, writes them together, and keeps so many files. */
class AccessLog {
  constructor(file, { lines, files }) {
    this.file = file;
    this.limit = lines;
    this.files = files;
    this.lines = [];
    this.flushes = 0;
    this.writing = Promise.resolve();
  }

  add(req, res) {
    this.lines.push({
      at: new Date(),
      method: req.method,
      url: req.originalUrl,
      status: res.statusCode,
      agent: req.headers['user-agent'] ?? '-',
    });
    if (this.lines.length >= this.limit) this.flush();
  }

  flush() {
    const lines = this.lines;
    this.lines = [];
    this.writing = this.writing.then(() => this.write(lines)).catch((error) => console.error(error.message));
    return this.writing;
  }

  async write(lines) {
    this.flushes += 1;
    const text = lines.map((l) => `${l.at.toISOString()} ${l.method} ${l.url} ${l.status} ${l.agent}\n`).join('');
    await fs.writeFile(`${this.file}.${this.flushes % this.files}`, text);
  }

  status() {
    return { flushes: this.flushes, waiting: this.lines.length };
  }
}

module.exports = { AccessLog };
