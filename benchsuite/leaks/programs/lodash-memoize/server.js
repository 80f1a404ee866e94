'use strict';

const express = require('express');
const { quote } = require('./pricing');

const app = express();
app.disable('etag');

const recent = [];

app.get('/price', (req, res) => {
  const options = {
    sku: String(req.query.sku ?? 'pot'),
    quantity: Number(req.query.quantity ?? 1),
    customer: String(req.query.customer ?? 'guest'),
    at: process.hrtime.bigint().toString(),
  };
  const result = quote(options);
  recent.unshift(options.sku);
  recent.length = Math.min(recent.length, 25);
  res.json({ cents: result.cents, valid: result.validUntil });
});

app.get('/recent', (req, res) => res.json(recent));

const server = app.listen(Number(process.env.PORT || 0), '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});
