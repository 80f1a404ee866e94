'use strict';

const hooks = new Set();

/** Calls `hook` when the server ends. Gives a function that takes it back. */
exports.onShutdown = (hook) => {
  hooks.add(hook);
  return () => hooks.delete(hook);
};

exports.shutdown = () => {
  for (const hook of hooks) hook();
  hooks.clear();
};
