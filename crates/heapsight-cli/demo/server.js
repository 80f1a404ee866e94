'use strict';

// A small web server with a leak: `heapsight leak --demo` hunts for it.

const http = require('node:http');
const { randomUUID } = require('node:crypto');
const { MemoryStore } = require('./store');

const store = new MemoryStore();

// Pages that were rendered; there are a few of them, and no more.
const pages = new Map();

function session(request, response) {
  const known = /sid=([\w-]+)/.exec(request.headers.cookie || '');
  if (known && store.get(known[1])) return store.get(known[1]);
  const sid = randomUUID();
  response.setHeader('Set-Cookie', `sid=${sid}; HttpOnly`);
  return store.set(sid, { views: 0, agent: request.headers['user-agent'] });
}

function page(path) {
  if (!pages.has(path)) pages.set(path, `<h1>${path}</h1>`.padEnd(2000, ' '));
  return pages.get(path);
}

const server = http.createServer((request, response) => {
  const visitor = session(request, response);
  visitor.views += 1;
  response.setHeader('Content-Type', 'text/html');
  response.end(page(new URL(request.url, 'http://localhost').pathname));
});

server.listen(Number(process.argv[2] || 0), '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}/`);
});
