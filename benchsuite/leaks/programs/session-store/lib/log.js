'use strict';

const { performance } = require('node:perf_hooks');

const verbose = process.env.LOG_LEVEL === 'debug';
const counts = { total: 0, slow: 0, errors: 0 };

function requests() {
  return (req, res, next) => {
    const started = performance.now();
    res.once('finish', () => {
      const took = performance.now() - started;
      counts.total += 1;
      if (took > 500) counts.slow += 1;
      if (verbose) console.log(`${req.method} ${req.originalUrl} ${res.statusCode} ${took.toFixed(1)} ms`);
    });
    next();
  };
}

function error(problem) {
  counts.errors += 1;
  console.error(problem.stack);
}

module.exports = { requests, error, counts };
