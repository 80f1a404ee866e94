'use strict';

const http = require('node:http');

class Cache {
  constructor({ maxEntries }) {
    this.maxEntries = maxEntries;
    this.map = new Map();
  }

  get(key, make) {
    if (this.map.has(key)) return this.map.get(key);
    const value = make(key);
    this.map.set(key, value);
    if (this.map.size > this.maxEntries) this.map.delete(this.map.keys().next().value);
    return value;
  }
}

const slugs = new Cache({ maxEntries: 2000 });

const server = http.createServer((req, res) => {
  const url = new URL(req.url, 'http://localhost');
  const title = url.searchParams.get('title') ?? `untitled ${process.hrtime.bigint()}`;
  const slug = slugs.get(title, (title) => ({ title, slug: title.toLowerCase().replace(/[^a-z0-9]+/g, '-') }));
  res.end(JSON.stringify(slug));
});

server.listen(Number(process.env.PORT || 0), '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});
