'use strict';

const Koa = require('koa');
const { auditing } = require('./auditing');

const app = new Koa();

app.use(async (ctx, next) => {
  const begun = Date.now();
  await next();
  ctx.set('x-response-time', `${Date.now() - begun} ms`);
});
app.use(auditing({ methods: ['GET', 'POST'] }));
app.use(async (ctx) => {
  ctx.body = { path: ctx.path, query: ctx.query };
});

const server = app.listen(Number(process.env.PORT || 0), '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});
