'use strict';

const http = require('node:http');
const { randomUUID } = require('node:crypto');
const { WeakCache } = require('./weak-cache');

const documents = new WeakCache();
const pinned = [];

function load(id) {
  return { id, title: `Document ${id.slice(0, 8)}`, paragraphs: Array.from({ length: 20 }, (_, i) => `${id} ${i}`) };
}

function document(id) {
  let found = documents.get(id);
  if (!found) {
    found = load(id);
    documents.set(id, found);
  }
  return found;
}

const server = http.createServer((req, res) => {
  const url = new URL(req.url, 'http://localhost');
  if (url.pathname === '/cache') {
    res.end(JSON.stringify({ entries: documents.size, collected: documents.collected }));
    return;
  }
  const shown = document(url.searchParams.get('id') ?? randomUUID());
  // The last few stay at hand.
  pinned.push(shown);
  if (pinned.length > 20) pinned.shift();
  res.setHeader('content-type', 'application/json');
  res.end(JSON.stringify({ title: shown.title, paragraphs: shown.paragraphs.length }));
});

server.listen(Number(process.env.PORT || 0), '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});
