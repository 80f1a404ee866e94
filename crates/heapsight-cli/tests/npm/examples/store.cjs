'use strict';
// A store of sessions that forgets to end them, and one that does not.

class Store {
  constructor() {
    this.sessions = new Map();
    this.next = 0;
  }

  open() {
    this.next += 1;
    this.sessions.set(this.next, { user: `user ${this.next}` });
    return this.next;
  }

  close(id) {
    this.sessions.delete(id);
  }
}

module.exports = { Store };
