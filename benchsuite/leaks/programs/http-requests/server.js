const http = require('http');
const url = require('url');

const PORT = process.env.PORT || 0;
const requestLog = [];
const startTime = Date.now();

function handleHome(req, res) {
  res.writeHead(200, { 'Content-Type': 'text/html' });
  res.end('<html><body><h1>It works</h1></body></html>');
}

function handleTime(req, res) {
  res.writeHead(200, { 'Content-Type': 'application/json' });
  res.end(JSON.stringify({ now: new Date().toISOString(), uptime: Date.now() - startTime }));
}

function handleLog(req, res) {
  const last = requestLog.slice(-10).map((r) => `${r.method} ${r.url}`);
  res.writeHead(200, { 'Content-Type': 'text/plain' });
  res.end(last.join('\n'));
}

const handlers = {
  '/': handleHome,
  '/time': handleTime,
  '/log': handleLog,
};

const server = http.createServer(function (req, res) {
  requestLog.push(req);
  const { pathname } = url.parse(req.url);
  const handler = handlers[pathname];
  if (handler) {
    handler(req, res);
  } else {
    res.writeHead(404, { 'Content-Type': 'text/plain' });
    res.end('Not found');
  }
});

server.on('clientError', (err, socket) => {
  socket.end('HTTP/1.1 400 Bad Request\r\n\r\n');
});

server.listen(PORT, '127.0.0.1', () => {
  console.log('listening on http://127.0.0.1:' + server.address().port);
});
