'use strict';

const express = require('express');
const session = require('express-session');
const log = require('./lib/log');
const pages = require('./routes/pages');

const app = express();
app.disable('x-powered-by');
app.use(log.requests());
app.use(
  session({
    name: 'shop.sid',
    secret: process.env.SESSION_SECRET || 'not in production',
    resave: false,
    saveUninitialized: true,
    cookie: { httpOnly: true, sameSite: 'lax', maxAge: 24 * 60 * 60 * 1000 },
  }),
);
app.use(express.urlencoded({ extended: false }));
app.use('/', pages);

app.use((req, res) => {
  res.status(404).send('not found');
});

app.use((error, req, res, next) => {
  log.error(error);
  res.status(500).send('something went wrong');
});

const server = app.listen(Number(process.env.PORT || 0), '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});

process.on('SIGTERM', () => server.close(() => process.exit(0)));
