import http from 'node:http';
import { shutdown, stopping } from './shutdown.mjs';
import { withRetries } from './retry.mjs';

let calls = 0;

async function flaky(attempt) {
  calls += 1;
  await null;
  if (attempt === 1 && calls % 3 === 0) throw new Error('try again');
  return { calls, value: Math.sqrt(calls) };
}

const server = http.createServer(async (req, res) => {
  if (stopping()) {
    res.writeHead(503, { connection: 'close' }).end();
    return;
  }
  try {
    const result = await withRetries(flaky, { times: 3, signal: shutdown.signal });
    res.setHeader('content-type', 'application/json');
    res.end(JSON.stringify(result));
  } catch (error) {
    res.writeHead(502).end(error.message);
  }
});

process.on('SIGTERM', () => {
  shutdown.abort(new Error('shutting down'));
  server.close();
});

server.listen(Number(process.env.PORT ?? 0), '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});
