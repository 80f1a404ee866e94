'use strict';

const express = require('express');
const { cached } = require('./cache');
const { search, popular } = require('./catalogue');

const app = express();
const timings = new Float64Array(512);
let handled = 0;

app.use((req, res, next) => {
  const start = process.hrtime.bigint();
  res.on('finish', () => {
    timings[handled++ % timings.length] = Number(process.hrtime.bigint() - start) / 1e6;
  });
  next();
});

app.get('/search', cached(), (req, res) => {
  const found = search(String(req.query.q || ''), Number(req.query.page) || 1);
  res.json({ query: req.query.q, found });
});

app.get('/popular', cached(), (req, res) => {
  res.json(popular());
});

app.get('/metrics', (req, res) => {
  const known = timings.subarray(0, Math.min(handled, timings.length));
  const sum = known.reduce((a, b) => a + b, 0);
  res.type('text').send(`requests_total ${handled}\nrequest_ms_mean ${(sum / (known.length || 1)).toFixed(3)}\n`);
});

const server = app.listen(Number(process.env.PORT || 0), '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});
server.keepAliveTimeout = 65_000;
