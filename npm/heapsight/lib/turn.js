'use strict';
// One capture at a time in a thread: each stops the program, if only for a moment, and takes memory.

const { HeapsightError } = require('./errors.js');

let running;

/** Runs `work`, unless a capture runs already. */
async function take(what, work) {
  if (running) throw new HeapsightError('BUSY', `cannot take ${what} while ${running} is taken`);
  running = what;
  try {
    return await work();
  } finally {
    running = undefined;
  }
}

module.exports = { take, running: () => running };
