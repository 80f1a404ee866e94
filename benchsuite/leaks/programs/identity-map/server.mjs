import http from 'node:http';
import { EntityManager } from './orm/entity-manager.mjs';
import { FakeDriver } from './orm/driver.mjs';
import { Order, OrderLine } from './entities.mjs';

const em = new EntityManager(new FakeDriver());

const routes = {
  async 'GET /orders/new'(url) {
    const order = new Order(url.searchParams.get('customer') ?? 'anonymous');
    order.add(new OrderLine('teapot', 1, 1995));
    order.add(new OrderLine('cup', 4, 350));
    em.persist(order);
    await em.flush();
    return { id: order.id, total: order.total };
  },
  async 'GET /orders/latest'() {
    const rows = await em.driver.latest(5);
    return rows.map((row) => row.id);
  },
  async 'GET /health'() {
    return { ok: true };
  },
};

const server = http.createServer(async (req, res) => {
  const url = new URL(req.url, 'http://localhost');
  const route = routes[`${req.method} ${url.pathname}`];
  if (!route) {
    res.writeHead(404).end();
    return;
  }
  try {
    const body = JSON.stringify(await route(url));
    res.writeHead(200, { 'content-type': 'application/json' }).end(body);
  } catch (error) {
    console.error(error);
    res.writeHead(500).end();
  }
});

server.listen(Number(process.env.PORT ?? 0), '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});
