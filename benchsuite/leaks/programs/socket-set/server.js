'use strict';

const http = require('node:http');
const { Connections } = require('./connections');

const connections = new Connections();
const greetings = ['hello', 'bonjour', 'hallo', 'ciao'];
let served = 0;

const server = http.createServer((req, res) => {
  served += 1;
  // The balancer in front keeps no connections.
  res.setHeader('connection', 'close');
  if (req.url === '/connections') {
    res.end(`${connections.active}\n`);
    return;
  }
  const chunks = [];
  req.on('data', (chunk) => chunks.push(chunk));
  req.on('end', () => {
    const size = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
    res.end(`${greetings[served % greetings.length]}, you sent ${size} bytes\n`);
  });
});

server.on('connection', (socket) => connections.opened(socket));
server.on('clientError', (error, socket) => socket.destroy());

server.listen(Number(process.env.PORT || 0), '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});

process.on('SIGTERM', () => {
  server.close();
  connections.endAll();
});
