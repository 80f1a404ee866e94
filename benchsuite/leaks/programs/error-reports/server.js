'use strict';

const express = require('express');
const { ErrorReporter } = require('./reporter');

class ValidationError extends Error {
  constructor(field, value) {
    super(`${field} is not valid`);
    this.name = 'ValidationError';
    this.field = field;
    this.value = value;
    this.status = 400;
  }
}

const reporter = new ErrorReporter({ endpoint: process.env.REPORT_TO, batch: 20 });
const app = express();

function birthday(text) {
  const date = new Date(text);
  if (Number.isNaN(date.getTime())) throw new ValidationError('birthday', text);
  return date;
}

app.get('/age', (req, res) => {
  let age = null;
  try {
    const born = birthday(String(req.query.birthday));
    age = Math.floor((Date.now() - born.getTime()) / 31_557_600_000);
  } catch (error) {
    reporter.capture(error, { path: req.path });
  }
  res.json({ age });
});

app.get('/healthz', (req, res) => res.send('ok'));

const server = app.listen(Number(process.env.PORT || 0), '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});
