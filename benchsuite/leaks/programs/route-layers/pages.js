'use strict';

const source = {
  start: 'Welcome to our little shop for teapots.',
  imprint: 'Teapots Ltd, Harbour Road 1.',
};

async function loadPages() {
  await null;
  return Object.entries(source).map(([name, text]) => ({
    path: `/${name}`,
    title: name[0].toUpperCase() + name.slice(1),
    body: `<p>${text}</p><p>${new Date().getFullYear()}</p>`,
  }));
}

module.exports = { loadPages };
