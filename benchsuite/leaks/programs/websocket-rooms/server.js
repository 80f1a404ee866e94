'use strict';

const http = require('node:http');
const { WebSocketServer } = require('ws');
const { Lobby } = require('./lobby');

const lobby = new Lobby();

const server = http.createServer((req, res) => {
  if (req.url === '/status') {
    res.setHeader('content-type', 'application/json');
    res.end(JSON.stringify(lobby.status()));
    return;
  }
  res.writeHead(426).end('upgrade required');
});

const sockets = new WebSocketServer({ server, path: '/chat', maxPayload: 16 * 1024, perMessageDeflate: false });

sockets.on('connection', (socket) => {
  const room = lobby.room('general');
  const member = room.join(socket);

  socket.on('message', (data) => {
    room.say(member, data.toString());
  });
  socket.on('close', () => room.leave(socket));
  socket.on('error', (error) => console.error(error.message));
});

const heartbeat = setInterval(() => {
  for (const socket of sockets.clients) socket.ping();
}, 10_000);

server.on('close', () => clearInterval(heartbeat));
server.listen(Number(process.env.PORT || 0), '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});
