'use strict';

class Batch {
  constructor(write, { rows = 150, ms = 200 } = {}) {
    this.write = write;
    this.limit = rows;
    this.ms = ms;
    this.rows = [];
    this.written = 0;
  }

  add(row) {
    this.rows.push(row);
    if (this.rows.length >= this.limit) this.flush();
    else this.timer ??= setTimeout(() => this.flush(), this.ms);
  }

  async flush() {
    clearTimeout(this.timer);
    this.timer = undefined;
    const rows = this.rows;
    this.rows = [];
    this.written += await this.write(rows);
  }
}

module.exports = { Batch };
