'use strict';

const express = require('express');
const fs = require('node:fs/promises');
const os = require('node:os');
const path = require('node:path');
const { AccessLog } = require('./access-log');

async function main() {
  const folder = await fs.mkdtemp(path.join(os.tmpdir(), 'access-log-'));
  const log = new AccessLog(path.join(folder, 'access.log'), { lines: 400, files: 2 });
  const app = express();

  app.use((req, res, next) => {
    res.once('finish', () => log.add(req, res));
    next();
  });
  app.get('/', (req, res) => res.send('<h1>Teapots</h1>'));
  app.get('/log', (req, res) => res.json(log.status()));

  const server = app.listen(Number(process.env.PORT || 0), '127.0.0.1', () => {
    console.log(`listening on http://127.0.0.1:${server.address().port}`);
  });

  process.on('SIGTERM', async () => {
    server.close();
    await log.flush();
    await fs.rm(folder, { recursive: true });
    process.exit(0);
  });
}

main();
