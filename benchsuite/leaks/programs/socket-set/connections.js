'use strict';

/** Knows the open sockets, to end them when the server is shut down. */
class Connections {
  constructor() {
    this.sockets = new Set();
    this.active = 0;
    this.peak = 0;
  }

  opened(socket) {
    this.sockets.add(socket);
    this.active += 1;
    this.peak = Math.max(this.peak, this.active);
    socket.setNoDelay(true);
    socket.once('close', () => this.closed());
  }

  closed() {
    this.active -= 1;
  }

  endAll() {
    for (const socket of this.sockets) {
      if (!socket.destroyed) socket.end();
    }
  }
}

module.exports = { Connections };
