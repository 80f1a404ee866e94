'use strict';

const http = require('node:http');
const presence = require('./presence');

let visitors = 0;

const server = http.createServer((req, res) => {
  const url = new URL(req.url, 'http://localhost');
  const room = url.searchParams.get('room') ?? ['lobby', 'garden', 'library'][visitors % 3];
  const person = url.searchParams.get('person') ?? `guest-${(visitors += 1)}`;
  presence.enter(room, person, req.headers['user-agent']);
  res.setHeader('content-type', 'application/json');
  res.end(JSON.stringify({ room, person, here: presence.count(room) }));
});

server.listen(Number(process.env.PORT || 0), '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});
