'use strict';

const http = require('node:http');
const { randomInt } = require('node:crypto');
const { setTimeout: sleep } = require('node:timers/promises');
const genericPool = require('generic-pool');

let created = 0;

class Connection {
  constructor() {
    this.id = ++created;
    this.buffer = Buffer.alloc(16 * 1024);
    this.statements = new Map();
  }

  async query(sql) {
    if (!this.statements.has(sql)) this.statements.set(sql, { sql, plan: sql.split(' ') });
    await sleep(randomInt(1, 4));
    return { rows: [{ id: this.id }] };
  }
}

const pool = genericPool.createPool(
  { create: async () => new Connection(), destroy: async (connection) => connection.statements.clear() },
  { min: 1, max: 40 },
);

async function page() {
  // A page needs more connections at a time when there is more to show.
  const width = randomInt(1, 8);
  const results = await Promise.all(
    Array.from({ length: width }, (_, i) => pool.use((connection) => connection.query(`select ${i} from things`))),
  );
  return { width, rows: results.flatMap((result) => result.rows).length };
}

const server = http.createServer(async (req, res) => {
  try {
    const body = req.url === '/pool' ? { size: pool.size, available: pool.available } : await page();
    res.setHeader('content-type', 'application/json');
    res.end(JSON.stringify(body));
  } catch (error) {
    console.error(error);
    res.writeHead(500).end();
  }
});

server.listen(Number(process.env.PORT || 0), '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});
