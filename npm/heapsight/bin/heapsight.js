#!/usr/bin/env node
'use strict';
// Runs the binary of this platform in place of itself: arguments, terminal, exit status and signals are the binary's.

const { binary } = require('../lib/platform.js');

function fail(message) {
  process.stderr.write(`heapsight: ${message}\n`);
  process.exitCode = 2;
}

let program;
try {
  program = binary();
} catch (error) {
  fail(error.message);
}
if (program) run(program, process.argv.slice(2));

function run(file, args) {
  // Newer versions of Node.js can become the other program.
  if (typeof process.execve === 'function' && process.platform !== 'win32') {
    try {
      require('fs').accessSync(file, require('fs').constants.X_OK);
    } catch (error) {
      fail(`cannot run ${file}: ${error.message}`);
      return;
    }
    try {
      process.execve(file, [file, ...args], process.env);
    } catch (error) {
      // Not in workers, and not under the permission model: then as a child.
    }
  }
  // A terminal sends Ctrl-C to both: passed on, it would be two, and the second one ends a capture at once.
  const terminal = process.stdin.isTTY || process.stdout.isTTY || process.stderr.isTTY;
  const passed = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR2', 'SIGBREAK'];
  let child;
  const pass = (signal) => {
    if (!(terminal && (signal === 'SIGINT' || signal === 'SIGQUIT'))) child.kill(signal);
  };
  // Before the program runs: a signal that comes in between would end this process alone.
  for (const signal of passed) if (signal in require('os').constants.signals) process.on(signal, pass);
  child = require('child_process').spawn(file, args, { stdio: 'inherit' });
  child.on('error', (error) => fail(`cannot run ${file}: ${error.message}`));
  child.on('exit', (code, signal) => {
    if (signal) {
      for (const name of passed) process.removeListener(name, pass);
      process.kill(process.pid, signal);
    } else {
      process.exitCode = code;
    }
  });
}
