'use strict';

const http = require('node:http');
const { AuditFile } = require('./audit-file');

const audit = new AuditFile();
const accounts = new Map([
  ['ada', 1200],
  ['grace', 3400],
  ['barbara', 560],
]);

const server = http.createServer((req, res) => {
  const url = new URL(req.url, 'http://localhost');
  if (url.pathname !== '/balance') {
    res.writeHead(404).end();
    return;
  }
  const name = url.searchParams.get('name') ?? 'ada';
  audit.append({ name, at: Date.now(), agent: req.headers['user-agent'] ?? '-' });
  const balance = accounts.get(name);
  res.writeHead(balance === undefined ? 404 : 200, { 'content-type': 'application/json' });
  res.end(JSON.stringify({ name, balance }));
});

audit.open().then(() => {
  server.listen(Number(process.env.PORT || 0), '127.0.0.1', () => {
    console.log(`listening on http://127.0.0.1:${server.address().port}`);
  });
});
