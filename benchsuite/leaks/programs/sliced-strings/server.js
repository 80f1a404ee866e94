'use strict';

const http = require('node:http');
const { Visits } = require('./visits');

const visits = new Visits();
const headerNames = ['user-agent', 'referer', 'accept-language', 'x-forwarded-for', 'host'];

function describe(req) {
  const lines = headerNames.map((name) => `${name}: ${req.headers[name] ?? ''}`);
  return `visit ${visits.stamp()} ${req.method} ${req.url}\n${lines.join('\n')}\n${'-'.repeat(4000)}\n`;
}

const server = http.createServer((req, res) => {
  if (req.url === '/visits') {
    res.end(`${visits.count}\n`);
    return;
  }
  const record = Buffer.from(describe(req)).toString('latin1');
  const first = visits.add(record);
  res.setHeader('content-type', 'text/plain');
  res.end(first ? 'welcome\n' : 'welcome back\n');
});

server.on('clientError', (error, socket) => socket.destroy());
server.listen(Number(process.env.PORT || 0), '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});
