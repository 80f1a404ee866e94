'use strict';

const express = require('express');
const { randomInt } = require('node:crypto');
const { Progress } = require('./progress');

const app = express();
app.set('etag', false);

app.get('/report', async (req, res, next) => {
  const progress = new Progress(`report ${req.query.year ?? 2026}`);
  try {
    progress.start();
    const rows = await collect(progress);
    res.json({ rows: rows.length, sum: rows.reduce((a, b) => a + b, 0) });
    progress.finish();
  } catch (error) {
    next(error);
  }
});

app.get('/ready', (req, res) => res.sendStatus(204));

async function collect(progress) {
  const rows = [];
  for (let month = 0; month < 12; month += 1) {
    await new Promise((resolve) => setImmediate(resolve));
    rows.push(randomInt(1000));
    progress.advance(1 / 12);
  }
  return rows;
}

const server = app.listen(Number(process.env.PORT || 0), '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});
