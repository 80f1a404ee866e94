'use strict';

const os = require('node:os');

class ErrorReporter {
  constructor({ endpoint, batch }) {
    this.endpoint = endpoint;
    this.batch = batch;
    this.unsent = [];
    this.host = os.hostname();
  }

  capture(error, context) {
    this.unsent.push({ error, context, at: Date.now() });
    if (this.unsent.length % this.batch === 0) this.flush().catch(() => {});
  }

  async flush() {
    if (!this.endpoint) return;
    const batch = this.unsent.splice(0, this.batch);
    const body = JSON.stringify(batch.map(({ error, at }) => ({ at, host: this.host, stack: error.stack })));
    await fetch(this.endpoint, { method: 'POST', body });
  }
}

module.exports = { ErrorReporter };
