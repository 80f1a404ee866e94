// The command of the package `heapsight`: what it is given, and what it gives back.

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';

const launcher = path.resolve('node_modules/.bin/heapsight');
const run = (args, env = {}, node = []) =>
  spawnSync(process.execPath, [...node, launcher, ...args], { encoding: 'utf8', env: { ...process.env, ...env } });
const version = JSON.parse(fs.readFileSync('node_modules/heapsight/package.json', 'utf8')).version;

/** A program that stands for the binary. */
function program(script) {
  const file = path.resolve(`stand-in-${process.pid}-${Math.random().toString(36).slice(2)}.sh`);
  fs.writeFileSync(file, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  return file;
}

test('arguments, output and exit status are those of the binary', () => {
  const { status, stdout } = run(['--version']);
  assert.equal(stdout, `heapsight ${version}\n`);
  assert.equal(status, 0);
  const wrong = run(['no-such-command']);
  assert.equal(wrong.status, 2);
  assert.match(wrong.stderr, /no-such-command/);
  const file = program('for a in "$@"; do echo "[$a]"; done; read line; echo "$line"; exit 7');
  const seen = spawnSync(process.execPath, [launcher, 'a b', '', '*'], {
    encoding: 'utf8',
    env: { ...process.env, HEAPSIGHT_BINARY: file },
    input: 'from standard input\n',
  });
  assert.equal(seen.stdout, '[a b]\n[]\n[*]\nfrom standard input\n');
  assert.equal(seen.status, 7);
});

test('npx finds it', () => {
  const { stdout, stderr } = spawnSync('npx', ['--no-install', '--offline', 'heapsight', '--version'], { encoding: 'utf8' });
  assert.equal(stdout, `heapsight ${version}\n`, stderr);
});

test('a signal reaches the binary, and its end by a signal is ours', async () => {
  const caught = program('trap "echo caught; exit 3" TERM; echo ready; for i in $(seq 1200); do sleep 0.05; done');
  const died = program('echo ready; kill -KILL $$');
  for (const [file, signal, expected] of [[caught, 'SIGTERM', [3, null]], [died, undefined, [null, 'SIGKILL']]]) {
    const child = spawn(process.execPath, [launcher], { env: { ...process.env, HEAPSIGHT_BINARY: file }, stdio: ['ignore', 'pipe', 'inherit'] });
    let output = '';
    child.stdout.on('data', (data) => {
      output += data;
      if (signal && output === 'ready\n') child.kill(signal);
    });
    const ended = await new Promise((resolve) => child.on('close', (...how) => resolve(how)));
    assert.deepEqual(ended, expected);
    assert.equal(output, signal ? 'ready\ncaught\n' : 'ready\n');
  }
});

test('where there is no binary it says what to do', () => {
  const as = (platform, arch) => {
    const file = path.resolve(`as-${platform}-${arch}.cjs`);
    const set = (name, value) => `Object.defineProperty(process, '${name}', { value: '${value}' });\n`;
    fs.writeFileSync(file, set('platform', platform) + set('arch', arch));
    return run(['--version'], {}, ['--require', file]);
  };
  const foreign = as('aix', 'ppc64');
  assert.equal(foreign.status, 2);
  assert.match(foreign.stderr, /^heapsight: there is no binary for aix on ppc64 \(there is for linux-arm64, linux-x64\)\nhint: .*HEAPSIGHT_BINARY/);
  const left = as('linux', 'arm64');
  assert.equal(left.status, 2);
  assert.match(left.stderr, /^heapsight: the package @heapsight\/linux-arm64 is not installed\nhint: .*--no-optional/);
  const gone = run(['--version'], { HEAPSIGHT_BINARY: '/no/such/file' });
  assert.equal(gone.status, 2);
  assert.equal(gone.stderr, 'heapsight: HEAPSIGHT_BINARY names /no/such/file, which does not exist\n');
  const closed = path.resolve('not-executable');
  fs.writeFileSync(closed, '', { mode: 0o644 });
  const refused = run(['--version'], { HEAPSIGHT_BINARY: closed });
  assert.equal(refused.status, 2);
  assert.match(refused.stderr, /^heapsight: cannot run .*not-executable: /);
});

test('nothing is run when it is installed, and only this platform has a binary', () => {
  const lock = JSON.parse(fs.readFileSync('package-lock.json', 'utf8')).packages;
  for (const [name, entry] of Object.entries(lock)) assert.equal(entry.hasInstallScript, undefined, name);
  assert.deepEqual(fs.readdirSync('node_modules/@heapsight'), ['linux-x64']);
  assert.deepEqual(fs.readdirSync('node_modules/@heapsight/linux-x64').sort(), [
    'LICENSE-APACHE',
    'LICENSE-MIT',
    'README.md',
    'heapsight',
    'heapsight_fork.node',
    'package.json',
  ]);
});
