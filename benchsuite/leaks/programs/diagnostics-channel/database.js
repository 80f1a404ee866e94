'use strict';

const diagnostics = require('node:diagnostics_channel');

const queries = diagnostics.channel('app:db:query');

class Database {
  constructor() {
    this.statements = new Map();
    this.executed = 0;
  }

  prepare(sql) {
    let statement = this.statements.get(sql);
    if (!statement) {
      statement = { sql, parameters: (sql.match(/\?/g) ?? []).length };
      this.statements.set(sql, statement);
    }
    return statement;
  }

  async query(sql, values) {
    const statement = this.prepare(sql);
    if (values.length !== statement.parameters) throw new Error(`${sql}: ${statement.parameters} values expected`);
    this.executed += 1;
    if (queries.hasSubscribers) queries.publish({ sql, number: this.executed });
    await null;
    return { id: values[0], rows: Array.from({ length: 3 }, (_, i) => ({ id: i })) };
  }
}

module.exports = { Database };
