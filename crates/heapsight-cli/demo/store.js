'use strict';

class Session {
  constructor(values) {
    this.created = Date.now();
    this.values = values;
  }
}

/** Keeps sessions in memory. Nobody ever removes one. */
class MemoryStore {
  sessions = new Map();

  get(sid) {
    return this.sessions.get(sid)?.values;
  }

  set(sid, values) {
    this.sessions.set(sid, new Session(values));
    return values;
  }
}

module.exports = { MemoryStore };
