'use strict';
// Captures on request over HTTP, for those who know the token.
//
// A snapshot has every string of the program in it. So: loopback unless something else is said; no request does anything
// without the token; the token is compared in constant time; wrong ones are limited like everything else.

const crypto = require('crypto');
const fs = require('fs');
const http = require('http');
const path = require('path');
const { HeapsightError } = require('./errors.js');
const { Desk, KINDS } = require('./desk.js');
const { say } = require('./say.js');

const TOKEN = /^\S{16,}$/;
/** A minute, of all clients together; those without the token are counted apart, so that they lock nobody out. */
const REQUESTS_A_MINUTE = 30;
const STATUS = {
  ERR_HEAPSIGHT_ARGUMENT: 400,
  ERR_HEAPSIGHT_BUSY: 409,
  ERR_HEAPSIGHT_COOLDOWN: 429,
  ERR_HEAPSIGHT_NO_ROOM: 507,
  ERR_HEAPSIGHT_UNSUPPORTED: 501,
};

/** Says whether a text is the secret one, in a time that does not tell how much of it is. */
function secret(token) {
  const key = crypto.randomBytes(32);
  const digest = (text) => crypto.createHmac('sha256', key).update(text).digest();
  const expected = digest(token);
  return (text) => crypto.timingSafeEqual(digest(text), expected);
}

/** Lets so many through in a minute; else the seconds until the next may come. */
function limiter(most) {
  let tokens = most;
  let then = Date.now();
  return () => {
    const now = Date.now();
    tokens = Math.min(most, tokens + (Math.max(0, now - then) * most) / 60_000);
    then = now;
    if (tokens < 1) return Math.ceil(((1 - tokens) * 60) / most);
    tokens -= 1;
    return 0;
  };
}

function answer(response, status, body, headers = {}) {
  response.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store', ...headers });
  response.end(`${JSON.stringify(body)}\n`);
}

const refuse = (response, error) => {
  const headers = error.retryAfter ? { 'retry-after': String(error.retryAfter) } : {};
  answer(response, STATUS[error.code] || 500, { error: error.message, code: error.code }, headers);
};

/** The options in a request's query. */
function asked(url) {
  const query = url.searchParams;
  const number = (name) => (query.has(name) ? Number(query.get(name)) : undefined);
  const wanted = { seconds: number('seconds'), interval: number('interval'), method: query.get('method') || undefined };
  for (const name of ['seconds', 'interval']) {
    if (Number.isNaN(wanted[name])) throw new HeapsightError('ARGUMENT', `\`${name}\` must be a number`);
  }
  return wanted;
}

/** Sends a capture and removes it: who asks for it so has no access to this machine's files, or wants none left. */
function send(response, { file }) {
  const { size } = fs.statSync(file);
  response.writeHead(200, {
    'content-type': 'application/octet-stream',
    'content-length': size,
    'content-disposition': `attachment; filename="${path.basename(file)}"`,
    'cache-control': 'no-store',
  });
  // Whether all of it was sent is known by each piece: who has all bytes may close before the response is finished.
  let sent = 0;
  let over = false;
  const content = fs.createReadStream(file);
  const end = (error) => {
    if (over) return undefined;
    over = true;
    content.destroy();
    // What did not arrive stays, and is named.
    if (sent < size) return say(`kept ${file}: it could not be sent: ${error.message}`);
    for (const each of [file, `${file}.meta.json`]) fs.rmSync(each, { force: true });
    return undefined;
  };
  content.on('data', (piece) => {
    const goesOn = response.write(piece, (error) => {
      if (!error) sent += piece.length;
      if (sent === size) end();
    });
    if (!goesOn) content.pause();
  });
  content.on('end', () => response.end());
  content.on('error', (error) => {
    response.destroy();
    end(error);
  });
  response.on('drain', () => content.resume());
  // Pieces that were sent are told of before.
  response.on('close', () => setImmediate(end, new Error('the connection was closed')));
}

async function respond(desk, request, response, url) {
  const kind = url.pathname.slice(1);
  if (kind === '') {
    const obstacle = desk.obstacle();
    const about = { pid: process.pid, node: process.version, captures: KINDS, ready: !obstacle };
    return answer(response, 200, { ...about, why: obstacle && obstacle.message });
  }
  if (!KINDS.includes(kind)) return answer(response, 404, { error: `there is \`/\`, and /${KINDS.join(', /')}` });
  if (request.method !== 'POST') return answer(response, 405, { error: 'a capture is asked for by POST' }, { allow: 'POST' });
  const left = new AbortController();
  response.on('close', () => left.abort(new HeapsightError('ABORTED', 'whoever asked has left')));
  try {
    const taken = await desk.capture(kind, { ...asked(url), signal: left.signal });
    say(`wrote ${taken.file}, asked for over HTTP`);
    if (url.searchParams.has('send')) send(response, taken);
    else answer(response, 200, taken);
  } catch (error) {
    if (!response.destroyed) refuse(response, error);
  }
  return undefined;
}

/** See index.d.ts. */
async function serveCaptures({ token, host = '127.0.0.1', port = 0, desk, ...options } = {}) {
  if (typeof token !== 'string' || !TOKEN.test(token)) {
    throw new HeapsightError('ARGUMENT', 'a token of 16 characters or more, without spaces, is needed');
  }
  const matches = secret(token);
  const limits = { strangers: limiter(REQUESTS_A_MINUTE), friends: limiter(REQUESTS_A_MINUTE) };
  const at = desk || new Desk(options);
  const server = http.createServer((request, response) => {
    const [, given] = /^Bearer +(\S+)$/i.exec(request.headers.authorization || '') || [];
    const known = given !== undefined && matches(given);
    const retryAfter = known ? limits.friends() : limits.strangers();
    if (retryAfter) {
      const error = `more than ${REQUESTS_A_MINUTE} requests a minute`;
      return answer(response, 429, { error }, { 'retry-after': String(retryAfter) });
    }
    if (!known) {
      return answer(response, 401, { error: 'a bearer token is needed' }, { 'www-authenticate': 'Bearer' });
    }
    let url;
    try {
      url = new URL(request.url, 'http://localhost');
    } catch (error) {
      return answer(response, 400, { error: 'this is no address' });
    }
    request.resume();
    return respond(at, request, response, url);
  });
  server.headersTimeout = 10_000;
  server.requestTimeout = 10_000;
  server.maxConnections = 16;
  await new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host, port }, resolve);
  });
  // Neither the server nor who is connected keeps a program alive that is done.
  server.unref();
  server.on('connection', (socket) => socket.unref());
  const { address, family, port: bound } = server.address();
  const shown = family === 'IPv6' || family === 6 ? `[${address}]` : address;
  return {
    url: `http://${shown}:${bound}/`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        if (server.closeAllConnections) server.closeAllConnections();
      }),
  };
}

module.exports = { serveCaptures };
