'use strict';
// Triggers, in programs of their own.

const assert = require('assert/strict');
const fs = require('fs');
const http = require('http');
const os = require('os');
const path = require('path');
const { execFileSync, spawn } = require('child_process');
const heapsight = path.resolve('node_modules/@heapsight/linux-x64/heapsight');

const TOKEN = 'a-token-for-tests-only';
const [major, minor] = process.versions.node.split('.').map(Number);
const imports = !process.argv.includes('--require-alone') && (major > 18 || minor >= 19);
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'heapsight-triggers-'));
const children = new Set();
process.on('exit', () => {
  for (const child of children) child.kill('SIGKILL');
  fs.rmSync(folder, { recursive: true, force: true });
});
setTimeout(() => {
  console.error('the triggers took too long');
  process.exit(1);
}, 120_000).unref();

const PROGRAM = "globalThis.sessions = []; for (let i = 0; i < 2000; i++) sessions.push({ session: 'number ' + i }); setInterval(() => {}, 1000); console.log('ready');";

/** Starts a program with the triggers of `environment`; what it says on standard error is collected. */
async function start(environment, program = PROGRAM) {
  const directory = fs.mkdtempSync(path.join(folder, 'captures-'));
  const file = path.join(directory, 'program.cjs');
  fs.writeFileSync(file, program);
  const option = imports ? '--import' : '--require';
  const child = spawn(process.execPath, [option, 'heapsight/register', file], {
    env: { ...process.env, NODE_OPTIONS: '', HEAPSIGHT_DIR: directory, HEAPSIGHT_COOLDOWN: '0.001', ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  children.add(child);
  const ended = new Promise((resolve) => child.on('exit', (...how) => resolve(how)));
  const running = { child, directory, ended, said: '', printed: '' };
  child.stderr.on('data', (data) => (running.said += data));
  child.stdout.on('data', (data) => (running.printed += data));
  running.files = (extension) => fs.readdirSync(directory).filter((name) => name.endsWith(extension)).sort();
  running.end = async () => {
    child.kill('SIGKILL');
    await ended;
    children.delete(child);
  };
  return running;
}

/** Waits for a condition; what it gave. */
async function until(what, condition) {
  for (const deadline = Date.now() + 60_000; Date.now() < deadline; ) {
    const found = condition();
    if (found) return found;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return assert.fail(`waited too long for ${what}`);
}

function ask(url, { method = 'POST', token = TOKEN } = {}) {
  return new Promise((resolve, reject) => {
    const headers = token === null ? {} : { authorization: `Bearer ${token}` };
    const request = http.request(url, { method, headers, agent: false }, (response) => {
      const chunks = [];
      response.on('data', (chunk) => chunks.push(chunk));
      response.on('end', () => {
        const body = Buffer.concat(chunks);
        const json = /json/.test(response.headers['content-type']) ? JSON.parse(body) : undefined;
        resolve({ status: response.statusCode, headers: response.headers, body, json });
      });
    });
    request.on('error', reject).end();
  });
}

const tests = {
  async 'a signal has a snapshot taken, another one a profile'() {
    const program = await start({ HEAPSIGHT_SIGNAL: 'SIGUSR2, SIGHUP=sample', HEAPSIGHT_SECONDS: '0.2' });
    await until('the program', () => program.printed.includes('ready'));
    program.child.kill('SIGUSR2');
    await until('the snapshot', () => /wrote .*heapsnapshot\n/.test(program.said));
    const [name] = program.files('.heapsnapshot');
    const file = path.join(program.directory, name);
    assert.match(execFileSync(heapsight, ['validate', file], { encoding: 'utf8' }), /sound/);
    assert.equal(JSON.parse(fs.readFileSync(`${file}.meta.json`)).capture.method, 'fork');
    assert.equal(fs.statSync(file).mode & 0o777, 0o600);
    program.child.kill('SIGHUP');
    await until('the profile', () => /wrote .*heapprofile\n/.test(program.said));
    await program.end();
  },

  async 'HTTP: with the token alone, one at a time, and not too often'() {
    const program = await start({ HEAPSIGHT_HTTP: '0', HEAPSIGHT_TOKEN: TOKEN, HEAPSIGHT_COOLDOWN: '2' });
    const token = TOKEN;
    const [, url] = await until('the address', () => /captures at (http:\/\/127\.0\.0\.1:\d+\/) /.exec(program.said));
    for (const wrong of [null, '', 'wrong', `${token}x`, token.slice(1)]) {
      const { status, headers } = await ask(`${url}snapshot`, { token: wrong });
      assert.equal(status, 401);
      assert.equal(headers['www-authenticate'], 'Bearer');
    }
    assert.deepEqual(program.files('.heapsnapshot'), []);
    const about = await ask(url, { method: 'GET', token });
    assert.equal(about.status, 200);
    assert.equal(about.json.pid, program.child.pid);
    assert.equal(about.json.ready, true);
    assert.equal((await ask(`${url}snapshot`, { method: 'GET', token })).status, 405);
    assert.equal((await ask(`${url}nothing`, { token })).status, 404);
    assert.equal((await ask(`${url}sample?seconds=-1`, { token })).status, 400);
    assert.equal((await ask(`${url}sample?seconds=many`, { token })).status, 400);
    const first = ask(`${url}sample?seconds=0.5`, { token });
    const busy = await until('the sample', () => true).then(() => ask(`${url}snapshot`, { token }));
    assert.equal(busy.status, 409, JSON.stringify(busy.json));
    const sampled = await first;
    assert.equal(sampled.status, 200, JSON.stringify(sampled.json));
    assert.equal(path.dirname(sampled.json.file), program.directory);
    const early = await ask(`${url}snapshot`, { token });
    assert.equal(early.status, 429);
    assert.ok(Number(early.headers['retry-after']) >= 1);
    await new Promise((resolve) => setTimeout(resolve, Number(early.headers['retry-after']) * 1000));
    const sent = await ask(`${url}snapshot?send`, { token });
    assert.equal(sent.status, 200, JSON.stringify(sent.json));
    assert.match(sent.headers['content-disposition'], /^attachment; filename="Heap\..*\.heapsnapshot"$/);
    assert.ok(JSON.parse(sent.body).snapshot.node_count > 1000);
    await until('the file to go', () => program.files('.heapsnapshot').length === 0);
    // More than are allowed in a minute: strangers lock themselves out, and nobody else.
    const statuses = new Set();
    for (let i = 0; i < 40; i++) statuses.add((await ask(url, { token: 'wrong' })).status);
    assert.deepEqual([...statuses], [401, 429]);
    assert.equal((await ask(url, { method: 'GET', token })).status, 200);
    await program.end();
  },

  async 'who has all of a capture may hang up at once'() {
    const program = await start({ HEAPSIGHT_HTTP: '0', HEAPSIGHT_TOKEN: TOKEN });
    const [, url] = await until('the address', () => /captures at (http:\/\/127\.0\.0\.1:\d+\/) /.exec(program.said));
    for (let i = 0; i < 8; i++) {
      await new Promise((resolve) => setTimeout(resolve, 20));
      const length = await new Promise((resolve, reject) => {
        const headers = { authorization: `Bearer ${TOKEN}` };
        const what = i % 2 ? 'snapshot?send' : 'sample?seconds=0.01&send';
        const request = http.request(url + what, { method: 'POST', headers, agent: false }, (response) => {
          const wanted = Number(response.headers['content-length']);
          let length = 0;
          response.on('data', (chunk) => {
            length += chunk.length;
            if (length < wanted) return;
            request.destroy();
            resolve(response.statusCode === 200 ? length : 0);
          });
        });
        request.on('error', reject).end();
      });
      assert.ok(length > 100);
      await until('the file to go', () => program.files('').every((name) => !name.includes('.heap')));
    }
    assert.doesNotMatch(program.said, /kept/);
    await program.end();
  },

  async 'who leaves ends what he asked for'() {
    const token = 'x'.repeat(32);
    const program = await start({ HEAPSIGHT_HTTP: '127.0.0.1:0', HEAPSIGHT_TOKEN: token });
    const [, url] = await until('the address', () => /captures at (\S+) /.exec(program.said));
    const request = http.request(`${url}sample?seconds=600`, { method: 'POST', headers: { authorization: `Bearer ${token}` }, agent: false });
    request.on('error', () => {}).end();
    for (let busy = false; !busy; ) busy = !(await ask(url, { method: 'GET', token })).json.ready;
    request.destroy();
    await until('the end of the profile', () => program.files('.heapprofile').length === 1);
    await program.end();
  },

  async 'a profile every so often, and so many of them'() {
    const program = await start({ HEAPSIGHT_SAMPLE_EVERY: '0.05', HEAPSIGHT_SAMPLE_KEEP: '3', HEAPSIGHT_SAMPLE_INTERVAL: '1024' });
    const seen = new Set();
    await until('six profiles', () => {
      for (const name of program.files('.heapprofile')) seen.add(name);
      return seen.size >= 6;
    });
    assert.ok(program.files('.heapprofile').length <= 4);
    const file = path.join(program.directory, program.files('.heapprofile')[0]);
    assert.ok(JSON.parse(fs.readFileSync(file)).head.children.length > 0);
    await program.end();
  },

  async 'a program that is done ends, whatever waits for triggers'() {
    const environment = { HEAPSIGHT_HTTP: '0', HEAPSIGHT_TOKEN: 'x'.repeat(16), HEAPSIGHT_SIGNAL: 'SIGUSR2', HEAPSIGHT_SAMPLE_EVERY: '3600' };
    const program = await start(environment, "console.log('done')");
    assert.deepEqual(await program.ended, [0, null]);
    assert.equal(program.printed, 'done\n');
  },

  async 'workers and children are left alone'() {
    const token = 'x'.repeat(16);
    const program = await start(
      { HEAPSIGHT_HTTP: '0', HEAPSIGHT_TOKEN: token, HEAPSIGHT_SIGNAL: 'SIGUSR2', HEAPSIGHT_SAMPLE_EVERY: '3600' },
      "const { Worker } = require('worker_threads'); new Worker('', { eval: true }).on('exit', () => console.log('gone'));",
    );
    await program.ended;
    assert.equal(program.printed, 'gone\n');
    assert.equal(program.said.split('captures at').length - 1, 1, program.said);
  },

  async 'what is wrong with the environment is said, and the program runs'() {
    for (const [environment, pattern] of [
      [{ HEAPSIGHT_HTTP: '0' }, /heapsight: HEAPSIGHT_HTTP needs HEAPSIGHT_TOKEN or HEAPSIGHT_TOKEN_FILE/],
      [{ HEAPSIGHT_HTTP: '0', HEAPSIGHT_TOKEN: 'short' }, /heapsight: HEAPSIGHT_TOKEN has a token of 5 characters: 16 or more are needed/],
      [{ HEAPSIGHT_HTTP: 'here', HEAPSIGHT_TOKEN: 'x'.repeat(16) }, /heapsight: HEAPSIGHT_HTTP is `here`, and must be PORT or HOST:PORT/],
      [{ HEAPSIGHT_SIGNAL: 'SIGNOTHING' }, /heapsight: HEAPSIGHT_SIGNAL names `SIGNOTHING`, which is no signal/],
      [{ HEAPSIGHT_SIGNAL: 'SIGUSR2=nothing' }, /none of snapshot, sample, timeline/],
      [{ HEAPSIGHT_SIGNAL: 'SIGKILL' }, /heapsight: HEAPSIGHT_SIGNAL names SIGKILL, which no program can handle/],
      [{ HEAPSIGHT_METHOD: 'any' }, /heapsight: HEAPSIGHT_METHOD is `any`, which is none of auto, fork, v8/],
      [{ HEAPSIGHT_SECONDS: 'long' }, /heapsight: HEAPSIGHT_SECONDS is `long`, and must be a number above 0/],
      [{ HEAPSIGHT_HTTP: '0', HEAPSIGHT_TOKEN_FILE: '/no/such/file' }, /heapsight: ENOENT.*\/no\/such\/file/],
    ]) {
      const program = await start(environment, "console.log('ran')");
      assert.deepEqual(await program.ended, [0, null]);
      await until('what it says', () => pattern.test(program.said));
      assert.equal(program.printed, 'ran\n');
    }
  },
};

(async () => {
  const names = Object.keys(tests);
  for (const name of names) {
    try {
      await tests[name]();
    } catch (error) {
      console.error(`${name}: ${error.stack}`);
      process.exit(1);
    }
  }
  console.log(`${names.length} passed`);
})();
