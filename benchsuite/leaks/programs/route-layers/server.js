'use strict';

const express = require('express');
const { loadPages } = require('./pages');

const app = express();
const contents = express.Router();
app.disable('x-powered-by');

// Pages may change while the server runs.
async function refreshPages() {
  for (const page of await loadPages()) {
    contents.get(page.path, (req, res) => {
      res.type('html').send(`<title>${page.title}</title><article>${page.body}</article>`);
    });
  }
}

let fresh = 0;
app.use(async (req, res, next) => {
  if (req.path === '/health') return next();
  if (fresh++ % 2 === 0) await refreshPages();
  next();
});
app.use('/pages', contents);
app.get('/health', (req, res) => res.send('ok'));

refreshPages().then(() => {
  const server = app.listen(Number(process.env.PORT || 0), '127.0.0.1', () => {
    console.log(`listening on http://127.0.0.1:${server.address().port}`);
  });
});
