'use strict';

const http = require('node:http');
const { RingBuffer } = require('./ring-buffer');

const recent = new RingBuffer(256);
const latencies = new RingBuffer(128);
let number = 0;

const server = http.createServer((req, res) => {
  const start = process.hrtime.bigint();
  number += 1;
  recent.push({
    number,
    method: req.method,
    url: req.url,
    agent: req.headers['user-agent'] ?? '-',
    at: new Date(),
  });
  res.on('finish', () => latencies.push(Number(process.hrtime.bigint() - start) / 1e6));

  if (req.url === '/recent') {
    res.setHeader('content-type', 'application/json');
    res.end(JSON.stringify([...recent].slice(-20)));
  } else {
    res.end(`request no. ${number}\n`);
  }
});

server.listen(Number(process.env.PORT || 0), '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});
