import { UnitOfWork } from './unit-of-work.mjs';

/** The application's door to its tables: remembers what it has loaded and writes what has changed. */
export class EntityManager {
  constructor(driver) {
    this.driver = driver;
    this.unitOfWork = new UnitOfWork();
  }

  persist(entity) {
    this.unitOfWork.scheduleInsert(entity);
  }

  async find(type, id) {
    const known = this.unitOfWork.lookup(type, id);
    if (known) return known;
    const row = await this.driver.select(type.table, id);
    if (!row) return undefined;
    const entity = Object.assign(Object.create(type.prototype), row);
    this.unitOfWork.register(entity);
    return entity;
  }

  async flush() {
    for (const entity of this.unitOfWork.takeInserts()) {
      entity.id = await this.driver.insert(entity.constructor.table, entity);
      this.unitOfWork.register(entity);
    }
  }
}
