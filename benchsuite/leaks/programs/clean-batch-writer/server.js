'use strict';

const http = require('node:http');
const { Batch } = require('./batch');

const batch = new Batch(async (rows) => {
  await new Promise((resolve) => setTimeout(resolve, 5));
  return rows.length;
});

const server = http.createServer((req, res) => {
  batch.add({ url: req.url, at: Date.now(), agent: req.headers['user-agent'] ?? '-' });
  res.end(`${batch.written}\n`);
});

server.listen(Number(process.env.PORT || 0), '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});
