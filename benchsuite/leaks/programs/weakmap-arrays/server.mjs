import http from 'node:http';
import { Tenants } from './tenants.mjs';
import { audit, auditTrail } from './audit.mjs';

const tenants = new Tenants(['acme', 'globex', 'initech']);

const server = http.createServer((req, res) => {
  const tenant = tenants.of(req.headers.host) ?? tenants.byName('acme');
  const url = new URL(req.url, 'http://localhost');

  if (url.pathname === '/documents') {
    audit(tenant, 'list documents', { address: req.socket.remoteAddress, query: url.search });
    res.setHeader('content-type', 'application/json');
    res.end(JSON.stringify(tenant.documents.slice(0, 10)));
    return;
  }
  if (url.pathname === '/audit') {
    res.setHeader('content-type', 'application/json');
    res.end(JSON.stringify(auditTrail(tenant, 20)));
    return;
  }
  res.writeHead(404).end();
});

server.listen(Number(process.env.PORT ?? 0), '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});
