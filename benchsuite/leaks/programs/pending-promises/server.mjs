import http from 'node:http';
import { Broker } from './broker.mjs';
import { RpcClient } from './rpc.mjs';

const broker = new Broker();
const rpc = new RpcClient(broker, 'stock.reply');

broker.consume('stock.request', async ({ id, sku, replyTo }) => {
  // Unknown goods are answered by the warehouse, which is not connected yet.
  if (!sku.startsWith('local-')) return;
  broker.publish(replyTo, { id, stock: sku.length });
});

async function available(sku) {
  const late = new Promise((resolve) => {
    const timer = setTimeout(resolve, 5, { stock: 0, estimated: true });
    timer.unref();
  });
  return Promise.race([rpc.call('stock.request', { sku }), late]);
}

const server = http.createServer(async (req, res) => {
  const url = new URL(req.url, 'http://localhost');
  if (url.pathname !== '/stock') {
    res.writeHead(404).end();
    return;
  }
  const answer = await available(url.searchParams.get('sku') ?? 'teapot');
  res.writeHead(200, { 'content-type': 'application/json' });
  res.end(JSON.stringify(answer));
});

server.listen(Number(process.env.PORT ?? 0), '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});
