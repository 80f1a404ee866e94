'use strict';

const http = require('node:http');
const metrics = require('./metrics');
const { timed } = require('./timing');

const quotes = ['Make it work.', 'Make it right.', 'Make it fast.'];

function quote(req) {
  return quotes[req.url.length % quotes.length];
}

const server = http.createServer((req, res) => {
  if (req.url === '/metrics') {
    res.setHeader('content-type', 'text/plain');
    res.end(metrics.text());
    return;
  }
  const text = timed('quote', () => quote(req));
  metrics.counters.requests += 1;
  res.end(`${text}\n`);
});

server.listen(Number(process.env.PORT || 0), '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});
