'use strict';

const http = require('node:http');
const { Database } = require('./database');
const { QueryBudget } = require('./budget');

const database = new Database();

async function page(req) {
  const budget = new QueryBudget(req.url, 10);
  budget.watch();
  const user = await database.query('select * from users where id = ?', [1]);
  const posts = await database.query('select * from posts where author = ?', [user.id]);
  budget.check();
  return { user, posts: posts.rows.length, queries: budget.used };
}

const server = http.createServer(async (req, res) => {
  if (req.url === '/favicon.ico') {
    res.writeHead(204).end();
    return;
  }
  try {
    const body = JSON.stringify(await page(req));
    res.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }).end(body);
  } catch (error) {
    console.error(error);
    res.writeHead(500).end();
  }
});

server.listen(Number(process.env.PORT || 0), '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});
