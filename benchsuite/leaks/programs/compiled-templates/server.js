'use strict';

const http = require('node:http');
const { Templates } = require('./templates');

const templates = new Templates();
const names = ['Ada', 'Grace', 'Barbara', 'Frances'];
let visits = 0;

const server = http.createServer((req, res) => {
  const { pathname } = new URL(req.url, 'http://localhost');
  if (pathname === '/health') {
    res.end('ok');
    return;
  }
  visits += 1;
  const name = names[visits % names.length];
  const source = `<p>Hello {{name}}, it is ${new Date().toISOString()}, visit ${visits}.</p><p>{{motto}}</p>`;
  res.setHeader('content-type', 'text/html');
  res.end(templates.render(source, { name, motto: 'Tea & biscuits' }));
});

server.listen(Number(process.env.PORT || 0), '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});
