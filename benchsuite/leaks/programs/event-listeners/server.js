'use strict';

const http = require('node:http');
const { Settings } = require('./settings');
const { createRoutes } = require('./routes');

const settings = new Settings({ theme: 'light', pageSize: 20, currency: 'EUR' });
const routes = createRoutes(settings);

const server = http.createServer((req, res) => {
  const { pathname } = new URL(req.url, 'http://localhost');
  const route = routes.get(`${req.method} ${pathname}`);
  if (!route) {
    res.writeHead(404).end();
    return;
  }
  Promise.resolve(route(req, res)).catch((error) => {
    console.error(error.message);
    if (!res.headersSent) res.writeHead(500);
    res.end();
  });
});

const refresh = setInterval(() => settings.refresh(), 5000);
refresh.unref();

server.listen(Number(process.env.PORT || 0), '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});
