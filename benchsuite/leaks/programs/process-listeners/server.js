'use strict';

const http = require('node:http');
const { Upload } = require('./upload');

const server = http.createServer((req, res) => {
  if (req.url === '/health') {
    res.end('ok\n');
    return;
  }
  const upload = new Upload(req.headers['x-file-name'] ?? 'unnamed.bin');
  req.on('data', (chunk) => upload.take(chunk));
  req.on('end', () => {
    upload.done();
    res.end(JSON.stringify({ name: upload.name, bytes: upload.bytes }));
  });
});

process.setMaxListeners(0);
server.listen(Number(process.env.PORT || 0), '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});
