'use strict';

const http = require('node:http');
const { Worker } = require('node:worker_threads');
const path = require('node:path');

const worker = new Worker(path.join(__dirname, 'resizer.js'), { name: 'resizer' });
const waiting = new Map();
let next = 1;

worker.on('message', ({ id, result }) => {
  const answer = waiting.get(id);
  waiting.delete(id);
  answer?.(result);
});
worker.on('error', (error) => {
  console.error(error);
  process.exit(1);
});

function resize(name, width) {
  return new Promise((resolve) => {
    const id = next++;
    waiting.set(id, resolve);
    worker.postMessage({ id, name, width });
  });
}

const server = http.createServer(async (req, res) => {
  const { pathname, searchParams } = new URL(req.url, 'http://localhost');
  if (pathname !== '/image') {
    res.writeHead(404).end();
    return;
  }
  const result = await resize(searchParams.get('name') ?? 'logo.png', Number(searchParams.get('width') ?? 80));
  res.writeHead(200, { 'content-type': 'application/json' });
  res.end(JSON.stringify(result));
});

worker.once('online', () => {
  server.listen(Number(process.env.PORT || 0), '127.0.0.1', () => {
    console.log(`listening on http://127.0.0.1:${server.address().port}`);
  });
});
