'use strict';

const { hrtime } = require('node:process');

class Visits {
  constructor() {
    this.tokens = new Set();
    this.count = 0;
  }

  stamp() {
    return hrtime.bigint().toString(16).padStart(24, '0');
  }

  /** Takes the token out of a record; says whether it was not seen before. */
  add(record) {
    const start = 'visit '.length;
    const token = record.slice(start, start + 24);
    this.count += 1;
    if (this.tokens.has(token)) return false;
    this.tokens.add(token);
    return true;
  }
}

module.exports = { Visits };
