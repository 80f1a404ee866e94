import http from 'node:http';
import { debuglog } from 'node:util';
import { randomBytes } from 'node:crypto';

const debug = debuglog('feed');
const stats = { requests: 0, refreshes: 0, hits: 0 };

let feed = null;

function compose(entries) {
  return entries.map((entry) => `<entry id="${entry.id}"><title>${entry.title}</title></entry>`).join('\n');
}

function refresh() {
  const before = feed;
  const entries = Array.from({ length: 30 }, (_, i) => ({
    id: randomBytes(8).toString('hex'),
    title: `Story ${stats.refreshes}.${i}`,
  }));
  const changed = function () {
    if (before) debug('%d entries before, %d now', before.size, entries.length);
    return before !== null;
  };
  feed = {
    size: entries.length,
    xml: compose(entries),
    describe() {
      return `feed of ${new Date().toISOString()}`;
    },
  };
  stats.refreshes += 1;
  if (process.env.NODE_DEBUG) changed();
}

refresh();

const server = http.createServer((req, res) => {
  stats.requests += 1;
  switch (req.url) {
    case '/feed.xml':
      refresh();
      res.setHeader('content-type', 'application/atom+xml');
      res.setHeader('x-feed', feed.describe());
      res.end(feed.xml);
      break;
    case '/stats':
      res.setHeader('content-type', 'application/json');
      res.end(JSON.stringify(stats));
      break;
    default:
      res.statusCode = 404;
      res.end();
  }
});

server.listen(Number(process.env.PORT ?? 0), '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});
