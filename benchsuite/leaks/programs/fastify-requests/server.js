'use strict';

const Fastify = require('fastify');

async function build() {
  const app = Fastify({ logger: process.env.LOG_LEVEL === 'debug', bodyLimit: 64 * 1024 });
  await app.register(require('./plugins/inflight'));
  await app.register(require('./routes/quotes'), { prefix: '/quotes' });

  app.get('/health', async () => ({ ok: true }));
  app.setErrorHandler((error, request, reply) => {
    request.log.error(error);
    reply.code(error.statusCode ?? 500).send({ error: error.message });
  });
  return app;
}

build()
  .then((app) => app.listen({ port: Number(process.env.PORT || 0), host: '127.0.0.1' }))
  .then((address) => console.log(`listening on ${address}`))
  .catch((error) => {
    console.error(error);
    process.exitCode = 1;
  });
