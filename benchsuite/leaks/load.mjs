// The load that a round of the suite makes: N requests over C connections, or N WebSocket conversations.
//
// usage: node load.mjs BASE --path PATH [-n 307] [-c 5] [--method GET] [--body TEXT] [--close] [--websocket]
//
// `{id}` in path and body becomes another identifier each time. `--close` makes a connection for each request.
// Exit code 1 if any request failed or had a status of 400 or above.

import http from 'node:http';
import { randomUUID } from 'node:crypto';
import { parseArgs } from 'node:util';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    path: { type: 'string', default: '/' },
    n: { type: 'string', short: 'n', default: '307' },
    c: { type: 'string', short: 'c', default: '5' },
    method: { type: 'string', default: 'GET' },
    body: { type: 'string' },
    close: { type: 'boolean', default: false },
    websocket: { type: 'boolean', default: false },
  },
});
const base = new URL(positionals[0]);
const agent = values.close ? false : new http.Agent({ keepAlive: true, maxSockets: Number(values.c) });
let left = Number(values.n);
let failed = 0;

function request() {
  return new Promise((resolve, reject) => {
    const id = randomUUID();
    const body = values.body?.replaceAll('{id}', id);
    const headers = body ? { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) } : {};
    const path = values.path.replaceAll('{id}', id);
    const options = { host: base.hostname, port: base.port, path, method: values.method, headers, agent, timeout: 10_000 };
    const sent = http.request(options, (res) => {
      res.resume();
      res.on('error', reject);
      res.on('end', () => (res.statusCode < 400 ? resolve() : reject(new Error(`status ${res.statusCode}`))));
    });
    sent.on('timeout', () => sent.destroy(new Error('timed out')));
    sent.on('error', reject);
    sent.end(body);
  });
}

async function conversation() {
  const { WebSocket } = await import('ws');
  await new Promise((resolve, reject) => {
    const socket = new WebSocket(`ws://${base.host}${values.path.replaceAll('{id}', randomUUID())}`);
    socket.on('error', reject);
    socket.on('open', () => socket.send(values.body?.replaceAll('{id}', randomUUID()) ?? 'hello'));
    socket.on('message', () => socket.close(1000));
    socket.on('close', () => resolve());
  });
}

async function client() {
  while (left-- > 0) {
    try {
      await (values.websocket ? conversation() : request());
    } catch (error) {
      if (failed++ === 0) console.error(`load: ${error.message}`);
    }
  }
}

await Promise.all(Array.from({ length: Number(values.c) }, client));
agent?.destroy?.();
if (failed > 0) console.error(`load: ${failed} of ${values.n} failed`);
process.exit(failed > 0 ? 1 : 0);
