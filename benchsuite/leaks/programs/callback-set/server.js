'use strict';

const http = require('node:http');
const { onShutdown, shutdown } = require('./shutdown');

const server = http.createServer((req, res) => {
  const report = { url: req.url, begun: Date.now(), lines: [] };
  const flush = () => {
    if (report.lines.length > 0) console.log(report.lines.join('\n'));
  };
  onShutdown(flush);
  if (req.method !== 'GET') report.lines.push(`${req.method} ${req.url}`);
  res.end('done\n');
});

process.on('SIGTERM', () => {
  shutdown();
  server.close();
});

server.listen(Number(process.env.PORT || 0), '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});
