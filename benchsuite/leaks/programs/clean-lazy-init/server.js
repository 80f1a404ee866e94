'use strict';

const express = require('express');
const { translate, locales } = require('./locales');
const { validator } = require('./schemas');

const app = express();
let turn = 0;

app.get('/greet', (req, res) => {
  turn += 1;
  const locale = String(req.query.locale ?? locales[Math.floor(turn / 15) % locales.length]);
  const check = validator(`greeting-${turn % 12}`);
  const greeting = { text: translate(locale, 'hello'), farewell: translate(locale, 'goodbye'), turn };
  if (!check(greeting)) {
    res.status(500).json({ error: 'not a greeting' });
    return;
  }
  res.json(greeting);
});

app.get('/health', (req, res) => res.send('ok'));

const server = app.listen(Number(process.env.PORT || 0), '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});
