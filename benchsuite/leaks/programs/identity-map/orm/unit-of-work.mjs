export class UnitOfWork {
  #identityMap = new Map();
  #inserts = new Set();

  scheduleInsert(entity) {
    this.#inserts.add(entity);
  }

  takeInserts() {
    const inserts = [...this.#inserts];
    this.#inserts.clear();
    return inserts;
  }

  register(entity) {
    this.#identityMap.set(`${entity.constructor.table}:${entity.id}`, entity);
  }

  lookup(type, id) {
    return this.#identityMap.get(`${type.table}:${id}`);
  }

  clear() {
    this.#identityMap.clear();
    this.#inserts.clear();
  }
}
