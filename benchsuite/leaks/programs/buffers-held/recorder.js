'use strict';

/** Keeps answers so that a test run can be played again. */
class Recorder {
  #bodies = [];
  #enabled = true;
  bytes = 0;

  record(url, body) {
    if (!this.#enabled) return;
    this.#bodies.push(body);
    this.bytes += body.length;
  }

  stop() {
    this.#enabled = false;
  }

  *replay() {
    yield* this.#bodies;
  }
}

module.exports = { Recorder };
