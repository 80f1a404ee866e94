'use strict';

const express = require('express');
const telemetry = require('./telemetry');
const { findRoute } = require('./routing');

const app = express();

app.use((req, res, next) => {
  const end = telemetry.start('request', { method: req.method, path: req.path });
  res.once('close', () => end({ status: res.statusCode }));
  next();
});

app.get('/route', (req, res) => {
  const end = telemetry.start('route search');
  const route = findRoute(String(req.query.from ?? 'a'), String(req.query.to ?? 'f'));
  end({ stops: route.length });
  res.json({ route });
});

app.get('/telemetry', (req, res) => res.json(telemetry.summary()));

const server = app.listen(Number(process.env.PORT || 0), '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});
