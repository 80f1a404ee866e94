'use strict';

const { setTimeout: sleep } = require('node:timers/promises');

class PageView {
  constructor(settings, path) {
    this.path = path;
    this.theme = settings.get('theme');
    this.pageSize = settings.get('pageSize');
    settings.on('change', (name, value) => {
      if (name in this) this[name] = value;
    });
  }

  render(rows) {
    const items = rows.slice(0, this.pageSize).map((row) => `<li>${row.title}</li>`);
    return `<body class="${this.theme}"><ul>${items.join('')}</ul></body>`;
  }
}

const articles = Array.from({ length: 100 }, (_, i) => ({ id: i, title: `Article ${i}` }));

async function findArticles() {
  await sleep(1);
  return articles.filter((article) => article.id % 2 === 0);
}

function createRoutes(settings) {
  const routes = new Map();

  routes.set('GET /', async (req, res) => {
    const view = new PageView(settings, req.url);
    const rows = await findArticles();
    res.writeHead(200, { 'content-type': 'text/html' });
    res.end(view.render(rows));
  });

  routes.set('GET /settings', (req, res) => {
    res.writeHead(200, { 'content-type': 'application/json' });
    res.end(JSON.stringify({ version: settings.version, ...settings.values }));
  });

  return routes;
}

module.exports = { createRoutes };
