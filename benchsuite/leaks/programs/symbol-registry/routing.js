'use strict';

const LINES = { a: ['b', 'c'], b: ['d'], c: ['d', 'e'], d: ['f'], e: ['f'], f: [] };

function findRoute(from, to) {
  const before = new Map([[from, null]]);
  const open = [from];
  while (open.length > 0) {
    const stop = open.shift();
    if (stop === to) break;
    for (const next of LINES[stop] ?? []) {
      if (before.has(next)) continue;
      before.set(next, stop);
      open.push(next);
    }
  }
  const route = [];
  for (let stop = before.has(to) ? to : null; stop !== null; stop = before.get(stop)) route.unshift(stop);
  return route;
}

module.exports = { findRoute };
