'use strict';

const diagnostics = require('node:diagnostics_channel');

/** Warns if one page asks the database too often. */
class QueryBudget {
  constructor(page, limit) {
    this.page = page;
    this.limit = limit;
    this.used = 0;
    this.open = true;
  }

  watch() {
    diagnostics.subscribe('app:db:query', () => {
      if (this.open) this.used += 1;
    });
  }

  check() {
    this.open = false;
    if (this.used > this.limit) console.warn(`${this.page}: ${this.used} queries, ${this.limit} expected`);
  }
}

module.exports = { QueryBudget };
