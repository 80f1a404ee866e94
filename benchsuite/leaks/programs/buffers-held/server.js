'use strict';

const http = require('node:http');
const zlib = require('node:zlib');
const { promisify } = require('node:util');
const { Recorder } = require('./recorder');

const gzip = promisify(zlib.gzip);
const recorder = new Recorder();
const page = Buffer.from(`<!doctype html><title>Prices</title>${'<p>Teapots are cheaper today.</p>'.repeat(300)}`);

async function answer(req, res) {
  const body = Buffer.allocUnsafeSlow(page.length + 64);
  const length = page.copy(body);
  body.fill(' ', length);
  body.write(`<!-- ${new Date().toISOString()} -->`, length);
  recorder.record(req.url, body);

  if (/\bgzip\b/.test(req.headers['accept-encoding'] ?? '')) {
    res.setHeader('content-encoding', 'gzip');
    res.end(await gzip(body));
    return;
  }
  res.setHeader('content-length', body.length);
  res.end(body);
}

const server = http.createServer((req, res) => {
  if (req.url === '/recorder') {
    res.end(`${recorder.bytes}\n`);
    return;
  }
  answer(req, res).catch((error) => res.destroy(error));
});

server.listen(Number(process.env.PORT || 0), '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});
