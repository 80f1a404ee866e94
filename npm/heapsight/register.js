'use strict';
// `node --import heapsight/register` or `--require`: triggers by environment variables; docs/npm.md has them.

require('./lib/register.js').register(process.env);
