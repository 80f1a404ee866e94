import http from 'node:http';
import { Lru } from './lru.mjs';

const thumbnails = new Lru(200);

function render(path, width) {
  const seed = [...path].reduce((sum, c) => (sum * 31 + c.charCodeAt(0)) >>> 0, width);
  return { path, width, etag: seed.toString(16), pixels: Array.from({ length: 16 }, (_, i) => (seed >>> (i % 24)) & 255) };
}

const server = http.createServer((req, res) => {
  const url = new URL(req.url, 'http://localhost');
  const width = Number(url.searchParams.get('width') ?? 120);
  const key = `${url.pathname}@${width}`;
  let thumbnail = thumbnails.get(key);
  if (!thumbnail) {
    thumbnail = render(url.pathname, width);
    thumbnails.set(key, thumbnail);
  }
  res.setHeader('etag', thumbnail.etag);
  res.end(JSON.stringify(thumbnail.pixels));
});

server.listen(Number(process.env.PORT || 0), '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});
