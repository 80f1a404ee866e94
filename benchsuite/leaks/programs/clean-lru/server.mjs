import http from 'node:http';
import { randomInt } from 'node:crypto';
import { LRUCache } from 'lru-cache';

const profiles = new LRUCache({ max: 250, ttl: 10 * 60 * 1000 });
const counters = { hits: 0, misses: 0 };

async function load(id) {
  await null;
  return {
    id,
    name: `User ${id}`,
    email: `user${id}@example.org`,
    roles: id % 10 === 0 ? ['admin', 'editor'] : ['reader'],
    joined: new Date(1_600_000_000_000 + id * 1000),
  };
}

async function profile(id) {
  const known = profiles.get(id);
  if (known) {
    counters.hits += 1;
    return known;
  }
  counters.misses += 1;
  const fresh = await load(id);
  profiles.set(id, fresh);
  return fresh;
}

const server = http.createServer(async (req, res) => {
  const url = new URL(req.url, 'http://localhost');
  if (url.pathname === '/profile') {
    const id = Number(url.searchParams.get('id') ?? randomInt(1_000_000));
    res.setHeader('content-type', 'application/json');
    res.end(JSON.stringify(await profile(id)));
  } else if (url.pathname === '/counters') {
    res.end(JSON.stringify({ ...counters, size: profiles.size }));
  } else {
    res.writeHead(404).end();
  }
});

server.listen(Number(process.env.PORT ?? 0), '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});
