import http from 'node:http';
import { randomUUID } from 'node:crypto';

const TTL_MS = 1500;
const sessions = new Map();

setInterval(() => {
  const now = Date.now();
  for (const [id, session] of sessions) {
    if (session.expires > now) break;
    sessions.delete(id);
  }
}, 100).unref();

const server = http.createServer((req, res) => {
  const id = req.headers.cookie?.match(/sid=([\w-]+)/)?.[1];
  const session = sessions.get(id) ?? { id: randomUUID(), views: 0 };
  session.views += 1;
  session.expires = Date.now() + TTL_MS;
  sessions.delete(session.id);
  sessions.set(session.id, session);
  res.setHeader('set-cookie', `sid=${session.id}; HttpOnly`);
  res.end(`${session.views}\n`);
});

server.listen(Number(process.env.PORT || 0), '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});
