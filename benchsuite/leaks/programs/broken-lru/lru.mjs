/** Keeps what was used last. */
export class Lru {
  #entries = new Map();

  constructor(max) {
    this.max = max;
    this.evicted = 0;
  }

  get(key) {
    const value = this.#entries.get(key);
    if (value === undefined) return undefined;
    this.#entries.delete(key);
    this.#entries.set(key, value);
    return value;
  }

  set(key, value) {
    this.#entries.delete(key);
    if (this.#entries.length >= this.max) {
      this.#entries.delete(this.#entries.keys().next().value);
      this.evicted += 1;
    }
    this.#entries.set(key, value);
  }
}
