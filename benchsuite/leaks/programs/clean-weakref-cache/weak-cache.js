'use strict';

/** Finds values as long as somebody else holds them. */
class WeakCache {
  #references = new Map();
  #registry = new FinalizationRegistry((key) => this.#forget(key));
  collected = 0;

  get size() {
    return this.#references.size;
  }

  get(key) {
    return this.#references.get(key)?.deref();
  }

  set(key, value) {
    this.#references.set(key, new WeakRef(value));
    this.#registry.register(value, key);
  }

  #forget(key) {
    this.collected += 1;
    if (!this.#references.get(key)?.deref()) this.#references.delete(key);
  }
}

module.exports = { WeakCache };
