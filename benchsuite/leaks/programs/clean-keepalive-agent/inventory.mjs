import http from 'node:http';

/** The service that is asked, on a port of its own. */
export async function startInventory() {
  const server = http.createServer((req, res) => {
    const sku = Number(req.url.split('/').pop());
    setTimeout(() => {
      res.setHeader('content-type', 'application/json');
      res.end(JSON.stringify({ sku, stock: (sku * 7919) % 40 }));
    }, sku % 4);
  });
  server.keepAliveTimeout = 60_000;
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { address: `http://127.0.0.1:${server.address().port}`, close: () => server.close() };
}
