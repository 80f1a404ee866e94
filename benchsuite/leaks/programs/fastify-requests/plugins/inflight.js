'use strict';

const { performance } = require('node:perf_hooks');
const fp = require('fastify-plugin');

/** Knows the requests that are being answered, for the page of slow requests. */
async function inflight(fastify) {
  const requests = new Map();
  fastify.decorate('inflight', requests);
  fastify.decorateRequest('startedAt', 0);

  fastify.addHook('onRequest', async (request) => {
    request.startedAt = performance.now();
    requests.set(request.id, {
      method: request.method,
      url: request.url,
      address: request.ip,
      agent: request.headers['user-agent'] ?? '-',
      startedAt: request.startedAt,
    });
  });

  fastify.addHook('onResponse', async (request, reply) => {
    requests.delete(reply.id);
    const took = performance.now() - request.startedAt;
    if (took > 1000) request.log.warn({ took }, 'slow request');
  });

  fastify.get('/slow', async () => {
    const now = performance.now();
    return [...requests.values()].filter((entry) => now - entry.startedAt > 5000).slice(0, 20);
  });
}

module.exports = fp(inflight, { name: 'inflight' });
