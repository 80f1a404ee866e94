'use strict';

const http = require('node:http');
const { Transcript } = require('./transcript');

const transcript = new Transcript('support');

const server = http.createServer((req, res) => {
  const url = new URL(req.url, 'http://localhost');
  const text = url.searchParams.get('text') ?? 'hello';
  transcript.add('guest', text);
  transcript.add('bot', `You said: ${text}. A colleague of ours is going to answer soon (${Math.random()}).`);
  res.end('noted\n');
});

server.listen(Number(process.env.PORT || 0), '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});
