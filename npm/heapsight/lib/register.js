'use strict';
// Sets triggers up by what the environment says.
//
// Whatever is wrong with it is said and does not end the program: it is loaded into programs that have other things to do.

const fs = require('fs');
const path = require('path');
const { isMainThread } = require('worker_threads');
const { HeapsightError } = require('./errors.js');
const { Desk, KINDS } = require('./desk.js');
const { say } = require('./say.js');
const { captureOnSignal } = require('./signals.js');
const { serveCaptures } = require('./http.js');
const sampling = require('./sampling.js');
const { METHODS } = require('./snapshot.js');

/** A number from the environment. */
function number(environment, name, otherwise) {
  const text = environment[name];
  if (text === undefined || text === '') return otherwise;
  const value = Number(text);
  if (!(value > 0)) throw new HeapsightError('ARGUMENT', `${name} is \`${text}\`, and must be a number above 0`);
  return value;
}

/** `SIGUSR2`, `SIGUSR2=sample`, several of them with commas. */
function signals(text, desk) {
  for (const part of text.split(',')) {
    const [signal, kind = 'snapshot'] = part.trim().split('=');
    if (!(signal in require('os').constants.signals)) {
      throw new HeapsightError('ARGUMENT', `HEAPSIGHT_SIGNAL names \`${signal}\`, which is no signal`);
    }
    if (!KINDS.includes(kind)) {
      throw new HeapsightError('ARGUMENT', `HEAPSIGHT_SIGNAL asks for \`${kind}\`, which is none of ${KINDS.join(', ')}`);
    }
    try {
      captureOnSignal(signal, { kind, desk });
    } catch (error) {
      throw new HeapsightError('ARGUMENT', `HEAPSIGHT_SIGNAL names ${signal}, which no program can handle: ${error.message}`);
    }
  }
}

/** `9230`, `127.0.0.1:9230`, `[::1]:9230`. */
async function serve(environment, desk) {
  const [, host, port] = /^(?:(.*):)?(\d+)$/.exec(environment.HEAPSIGHT_HTTP) || [];
  if (port === undefined) {
    throw new HeapsightError('ARGUMENT', `HEAPSIGHT_HTTP is \`${environment.HEAPSIGHT_HTTP}\`, and must be PORT or HOST:PORT`);
  }
  const file = environment.HEAPSIGHT_TOKEN_FILE;
  const token = file ? fs.readFileSync(file, 'utf8').trim() : environment.HEAPSIGHT_TOKEN;
  if (token && token.length < 16) {
    const name = file ? 'HEAPSIGHT_TOKEN_FILE' : 'HEAPSIGHT_TOKEN';
    throw new HeapsightError('ARGUMENT', `${name} has a token of ${token.length} characters: 16 or more are needed`);
  }
  if (!token) throw new HeapsightError('ARGUMENT', 'HEAPSIGHT_HTTP needs HEAPSIGHT_TOKEN or HEAPSIGHT_TOKEN_FILE');
  const { url } = await serveCaptures({ token, port: Number(port), host: host ? host.replace(/^\[|\]$/g, '') : undefined, desk });
  say(`captures at ${url} (process ${process.pid})`);
}

/** Writes a profile every so often, and keeps so many of them. */
async function rolling({ every, keep, interval, directory }) {
  await sampling.startSampling({ interval });
  const written = [];
  const write = async () => {
    const { file } = await sampling.writeSampling(directory);
    written.push(file);
    say(`wrote ${file}`);
    while (written.length > keep) await fs.promises.rm(written.shift(), { force: true });
  };
  let writing = false;
  setInterval(async () => {
    // A disk that is slower than that gets fewer.
    if (writing) return;
    writing = true;
    await write().catch((error) => say(`no profile: ${error.message}`));
    writing = false;
  }, every * 1000).unref();
}

/** Sets up what the environment asks for; a promise for tests. */
async function register(environment) {
  // Options of Node.js are passed on to workers: theirs are the main thread's signals and ports.
  if (!isMainThread) return;
  const complain = (error) => say(error.message);
  try {
    const directory = path.resolve(environment.HEAPSIGHT_DIR || '.');
    if (!fs.existsSync(directory)) say(`HEAPSIGHT_DIR is \`${directory}\`, and there is no such folder yet`);
    const method = environment.HEAPSIGHT_METHOD || 'auto';
    if (!METHODS.includes(method)) {
      throw new HeapsightError('ARGUMENT', `HEAPSIGHT_METHOD is \`${method}\`, which is none of ${METHODS.join(', ')}`);
    }
    const interval = number(environment, 'HEAPSIGHT_SAMPLE_INTERVAL', undefined);
    const desk = new Desk({
      directory,
      method,
      seconds: number(environment, 'HEAPSIGHT_SECONDS', undefined),
      interval,
      cooldown: number(environment, 'HEAPSIGHT_COOLDOWN', undefined),
    });
    const every = number(environment, 'HEAPSIGHT_SAMPLE_EVERY', undefined);
    const keep = number(environment, 'HEAPSIGHT_SAMPLE_KEEP', 24);
    const nearLimit = number(environment, 'HEAPSIGHT_NEAR_HEAP_LIMIT', undefined);
    if (nearLimit) require('v8').setHeapSnapshotNearHeapLimit(nearLimit);
    if (environment.HEAPSIGHT_SIGNAL) signals(environment.HEAPSIGHT_SIGNAL, desk);
    if (every) rolling({ every, keep, interval, directory }).catch(complain);
    if (environment.HEAPSIGHT_HTTP) await serve(environment, desk);
  } catch (error) {
    complain(error);
  }
}

module.exports = { register };
