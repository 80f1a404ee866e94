/** Stands for a database: numbers rows and keeps the last hundred of them. */
export class FakeDriver {
  #next = 1;
  #rows = [];

  async insert(table, entity) {
    const id = this.#next++;
    this.#rows.push({ table, id, at: entity.placed?.getTime() });
    if (this.#rows.length > 100) this.#rows.shift();
    await null;
    return id;
  }

  async select(table, id) {
    await null;
    return this.#rows.find((row) => row.table === table && row.id === id);
  }

  async latest(count) {
    await null;
    return this.#rows.slice(-count);
  }
}
