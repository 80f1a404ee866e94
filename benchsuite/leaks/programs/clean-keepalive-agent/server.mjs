import http from 'node:http';
import { randomInt } from 'node:crypto';
import { startInventory } from './inventory.mjs';

const inventory = await startInventory();
const agent = new http.Agent({ keepAlive: true, maxSockets: 30, maxFreeSockets: 30, timeout: 30_000 });

function stock(sku) {
  return new Promise((resolve, reject) => {
    const request = http.get(`${inventory.address}/stock/${sku}`, { agent }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk) => (text += chunk));
      response.on('end', () => resolve(JSON.parse(text)));
    });
    request.on('error', reject);
  });
}

const server = http.createServer(async (req, res) => {
  if (req.url === '/agent') {
    const count = (table) => Object.values(table).flat().length;
    res.end(JSON.stringify({ used: count(agent.sockets), free: count(agent.freeSockets) }));
    return;
  }
  try {
    const skus = Array.from({ length: randomInt(1, 5) }, () => randomInt(500));
    const all = await Promise.all(skus.map(stock));
    res.setHeader('content-type', 'application/json');
    res.end(JSON.stringify(all));
  } catch (error) {
    res.writeHead(502).end(error.message);
  }
});

server.listen(Number(process.env.PORT ?? 0), '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});

process.on('SIGTERM', () => {
  agent.destroy();
  inventory.close();
  server.close();
});
