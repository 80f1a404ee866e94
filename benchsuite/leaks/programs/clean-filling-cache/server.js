'use strict';

const express = require('express');

const COUNTRIES = 20;
const SIZES = 25;
const prices = new Map();
const app = express();
let turn = 0;

function shipping(country, size) {
  const key = `${country}/${size}`;
  let price = prices.get(key);
  if (!price) {
    price = { country, size, cents: 400 + country * 15 + size * 60, zones: Array.from({ length: 8 }, (_, i) => i * size) };
    prices.set(key, price);
  }
  return price;
}

app.get('/quote', (req, res) => {
  turn += 1;
  const country = Number(req.query.country ?? turn % COUNTRIES);
  const size = Number(req.query.size ?? Math.floor(turn / COUNTRIES) % SIZES);
  if (!(country >= 0 && country < COUNTRIES && size >= 0 && size < SIZES)) {
    res.status(400).json({ error: 'unknown country or size' });
    return;
  }
  res.json(shipping(country, size));
});

app.get('/health', (req, res) => res.send('ok'));

const server = app.listen(Number(process.env.PORT || 0), '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});
