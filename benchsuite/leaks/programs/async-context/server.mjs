import http from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { startProcess, span } from './tracing.mjs';

async function readUser() {
  return span('read user', async () => {
    await sleep(1);
    return { id: 7, name: 'Ada' };
  });
}

async function readBasket(user) {
  return span('read basket', async () => {
    await null;
    return { user: user.id, items: ['cup', 'pot'] };
  });
}

function handle(req, res) {
  return span(`${req.method} ${req.url}`, async () => {
    const basket = await readBasket(await readUser());
    res.setHeader('content-type', 'application/json');
    res.end(JSON.stringify(basket));
  });
}

startProcess('basket-service', () => {
  const server = http.createServer((req, res) => {
    handle(req, res).catch((error) => {
      console.error(error);
      res.writeHead(500).end();
    });
  });
  server.listen(Number(process.env.PORT ?? 0), '127.0.0.1', () => {
    console.log(`listening on http://127.0.0.1:${server.address().port}`);
  });
});
