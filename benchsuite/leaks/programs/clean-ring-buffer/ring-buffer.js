'use strict';

class RingBuffer {
  #items = [];
  #next = 0;

  constructor(capacity) {
    this.capacity = capacity;
  }

  push(item) {
    this.#items[this.#next] = item;
    this.#next = (this.#next + 1) % this.capacity;
  }

  get size() {
    return this.#items.length;
  }

  *[Symbol.iterator]() {
    for (let i = 0; i < this.#items.length; i += 1) {
      yield this.#items[(this.#next + i) % this.#items.length];
    }
  }
}

module.exports = { RingBuffer };
