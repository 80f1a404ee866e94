'use strict';

const ADJECTIVES = ['small', 'large', 'red', 'blue', 'wooden', 'folding', 'garden', 'kitchen'];
const NOUNS = ['chair', 'table', 'lamp', 'shelf', 'stool', 'bench'];

const items = [];
for (const adjective of ADJECTIVES) {
  for (const noun of NOUNS) {
    items.push({ sku: items.length + 1000, name: `${adjective} ${noun}`, stock: (items.length * 7) % 13 });
  }
}

function search(text, page) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const score = (item) => words.filter((word) => item.name.includes(word)).length;
  return items
    .map((item) => ({ ...item, score: score(item) }))
    .sort((a, b) => b.score - a.score || a.sku - b.sku)
    .slice((page - 1) * 8, page * 8);
}

function popular() {
  return items.filter((item) => item.stock > 9);
}

module.exports = { search, popular };
