'use strict';

const FRESH_MS = 60_000;
const responses = new Map();

/** Answers a GET from memory if the same address was asked within the last minute. */
function cached() {
  return function cache(req, res, next) {
    const hit = responses.get(req.originalUrl);
    if (hit && Date.now() - hit.at < FRESH_MS) {
      res.set('x-cache', 'hit').type(hit.type).send(hit.body);
      return;
    }
    const send = res.send.bind(res);
    res.send = (body) => {
      if (res.statusCode === 200 && typeof body === 'string') {
        responses.set(req.originalUrl, { at: Date.now(), type: res.get('content-type'), body });
      }
      return send(body);
    };
    next();
  };
}

module.exports = { cached };
