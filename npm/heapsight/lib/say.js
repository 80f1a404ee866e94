'use strict';
// Lines for whoever operates the program: on standard error, where nobody awaits the program's own output.

module.exports = { say: (text) => void process.stderr.write(`heapsight: ${text}\n`) };
