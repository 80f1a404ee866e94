'use strict';
// Captures when a signal comes.

const { HeapsightError } = require('./errors.js');
const { Desk } = require('./desk.js');
const { say } = require('./say.js');

/** See index.d.ts. */
function captureOnSignal(signal, { kind = 'snapshot', desk, ...options } = {}) {
  const { isMainThread } = require('worker_threads');
  if (!isMainThread) throw new HeapsightError('UNSUPPORTED', 'signals come to the main thread alone');
  const at = desk || new Desk(options);
  const handler = () => {
    at.capture(kind).then(
      ({ file }) => say(`wrote ${file}`),
      (error) => say(`no ${kind} on ${signal}: ${error.message}`),
    );
  };
  process.on(signal, handler);
  return () => void process.removeListener(signal, handler);
}

module.exports = { captureOnSignal };
