'use strict';

const { EventEmitter } = require('node:events');

/** What an administrator may change while the shop runs. */
class Settings extends EventEmitter {
  constructor(defaults) {
    super();
    this.setMaxListeners(0);
    this.values = { ...defaults };
    this.version = 1;
  }

  get(name) {
    return this.values[name];
  }

  set(name, value) {
    if (this.values[name] === value) return;
    this.values[name] = value;
    this.version += 1;
    this.emit('change', name, value);
  }

  refresh() {
    this.set('pageSize', this.values.pageSize === 20 ? 25 : 20);
  }
}

module.exports = { Settings };
