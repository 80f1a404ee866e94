'use strict';
// Fork snapshots from inside: a child of this process writes its heap, while the process goes on.
//
// The addon (crates/heapsight-fork) forks and makes the child harmless; crates/heapsight-capture does from outside what
// is done here from inside. What it says of the child holds here: it is confined, it is killed first, and it ends when
// nobody reads. The thread stands still for the fork alone; what the child writes comes through a pipe.

const fs = require('fs');
const net = require('net');
const v8 = require('v8');
const { pipeline } = require('stream');
const { promisify } = require('util');
const { HeapsightError } = require('./errors.js');
const platform = require('./platform.js');
const room = require('./room.js');

const LOOK_EVERY = 50;
const STALLED_AFTER = 10_000;
const MOST_TRIES = 10;
const MOST_STALLS = 3;
/** Elements of what the addon tells of a fork, and where in them what is. */
const OUTCOME = { length: 12, pause: 0, data: 4, output: 5, status: 6, go: 9 };

// In the child nothing may be looked up any more.
const { writeHeapSnapshot } = v8;
let addon;

/** Why there are no fork snapshots here; nothing if there are. */
function obstacle() {
  if (process.platform !== 'linux') return `fork snapshots exist on Linux, and this is ${process.platform}`;
  if (process.versions.electron || process.versions.bun || process.versions.deno) return 'this is not Node.js';
  if (Number(process.versions.node.split('.')[0]) < 16) return `this is Node.js ${process.version}, older than 16`;
  try {
    load();
    return undefined;
  } catch (error) {
    return error.message.split('\n')[0];
  }
}

function load() {
  if (addon) return addon;
  const module = { exports: {} };
  process.dlopen(module, platform.addon());
  addon = module.exports;
  return addon;
}

/**
 * The mappings that a child does not inherit, as the addon takes them: by turns the pages in between and its pages.
 * Reading them takes the kernel as long as a fork, so it is done before, while the program goes on.
 */
async function marked() {
  const pages = [];
  let end = 0;
  let mapping;
  const smaps = await fs.promises.readFile('/proc/self/smaps', 'latin1').catch(() => '');
  for (const line of smaps.split('\n')) {
    if (line.startsWith('VmFlags:')) {
      if (mapping && line.split(' ').includes('dc')) {
        pages.push((mapping.start - end) / 4096, (mapping.end - mapping.start) / 4096);
        end = mapping.end;
      }
      mapping = undefined;
      continue;
    }
    // Private and of no file: what V8 has made.
    const [, from, to] = /^([0-9a-f]+)-([0-9a-f]+) ...p \S+ \S+ 0\b/.exec(line) || [];
    if (from) mapping = { start: parseInt(from, 16), end: parseInt(to, 16) };
  }
  return Float64Array.from(pages);
}

/** State and processor time of a child of this process; nothing if it is gone. */
function stat(child) {
  let text;
  try {
    text = fs.readFileSync(`/proc/${child}/stat`, 'latin1');
  } catch (error) {
    return undefined;
  }
  const fields = text.slice(text.lastIndexOf(') ') + 2).split(' ');
  if (Number(fields[1]) !== process.pid) return undefined;
  return { state: fields[0], ticks: Number(fields[11]) + Number(fields[12]) };
}

function kill(child) {
  if (stat(child)) process.kill(child, 'SIGKILL');
}

/** Forks. In the child this never returns. */
function fork(stableIds, known) {
  const numbers = new Float64Array(OUTCOME.length);
  const child = addon.fork(stableIds ? 1 : 0, numbers, known);
  if (child === 0) {
    let why;
    for (const folder of ['/proc/self/fd/', '/dev/fd/']) {
      try {
        writeHeapSnapshot(folder + numbers[OUTCOME.output]);
        addon.end('');
      } catch (error) {
        if (why === undefined) why = String((error && error.message) || error);
        if (!error || error.code !== 'ENOENT') break;
      }
    }
    addon.end(why);
  }
  if (child < 0) {
    const EOPNOTSUPP = 95;
    const why =
      -child === EOPNOTSUPP
        ? 'this build of Node.js hides the functions of V8 that keep the ids of objects'
        : `the process cannot fork: ${require('util').getSystemErrorName(child)}`;
    throw new HeapsightError(-child === EOPNOTSUPP ? 'UNSUPPORTED' : 'FORK', why);
  }
  return { child, numbers, pause: numbers[OUTCOME.pause] / 1e6 };
}

/** Opens this side of the child's pipes and tells it to go on. */
function open({ child, numbers }) {
  const { O_RDONLY, O_NONBLOCK } = fs.constants;
  const path = (what) => `/proc/${child}/fd/${numbers[OUTCOME[what]]}`;
  const sockets = [];
  try {
    for (const what of ['data', 'status']) {
      const fd = fs.openSync(path(what), O_RDONLY | O_NONBLOCK);
      sockets.push(new net.Socket({ fd, readable: true, writable: false }));
    }
    const go = fs.openSync(path('go'), 'w');
    fs.writeSync(go, Buffer.of(1));
    fs.closeSync(go);
  } catch (error) {
    for (const socket of sockets) socket.destroy();
    throw error;
  }
  return sockets;
}

/** All that the child says, at most so much of it. */
async function drained(socket) {
  let said = Buffer.alloc(0);
  try {
    for await (const chunk of socket) said = Buffer.concat([said, chunk]).subarray(-65536);
  } catch (error) {
    // It is gone; what it said is there.
  }
  return said;
}

/** What the child said, as `Status::parse` of heapsight-capture: last words, a NUL, `c` or `u`, and what went wrong. */
function report(said) {
  const at = said.lastIndexOf(0);
  const lines = said
    .toString('utf8', 0, at < 0 ? said.length : at)
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line && !line.startsWith('#'));
  const lastWords = lines.find((line) => /fatal/i.test(line)) || lines[0] || '';
  if (at < 0 || at + 1 >= said.length) return { lastWords };
  return { confined: said[at + 1] === 'c'.charCodeAt(0), why: said.toString('utf8', at + 2), lastWords };
}

/** What a capture that was called off fails with. */
const aborted = ({ reason }) => (reason instanceof Error ? reason : new HeapsightError('ABORTED', 'it was called off'));

/** Looks at the child until it is done, and kills it where that is better; the reason why, then. */
function watch(child, progress, { timeout, signal, force }) {
  const begun = Date.now();
  const short = force ? () => false : room.guard();
  let seen = '';
  let moved = begun;
  const watcher = { reason: undefined, stop: () => {} };
  const end = (reason, again = false) => {
    if (!watcher.reason) watcher.reason = Object.assign(reason, { again });
    kill(child);
  };
  const look = () => {
    const now = Date.now();
    const found = stat(child);
    // Waiting for this process to read, or for a processor, is no hanging.
    const waits = found && 'STt'.includes(found.state) && !progress.writing;
    const state = `${progress.bytes} ${found && found.ticks}`;
    if (state !== seen || !waits) [seen, moved] = [state, now];
    if (short()) end(new HeapsightError('NO_ROOM', 'memory ran short, so the child was ended'));
    else if (now - moved > STALLED_AFTER) end(new HeapsightError('TIMEOUT', 'the child neither wrote nor computed'), true);
    else if (timeout && now - begun > timeout) end(new HeapsightError('TIMEOUT', `it took longer than ${timeout} ms`));
  };
  const called = () => end(aborted(signal));
  const timer = setInterval(look, LOOK_EVERY);
  if (signal) signal.addEventListener('abort', called, { once: true });
  watcher.stop = () => {
    clearInterval(timer);
    if (signal) signal.removeEventListener('abort', called);
  };
  return watcher;
}

/** The wait status of a child that has ended: the addon's thread has it a moment later. */
async function ended(child) {
  for (let i = 0; i < 20; i++) {
    const status = addon.ended(child);
    if (status !== -1) return status;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return -1;
}

/** Why a child said nothing in the end. */
async function died(child, lastWords) {
  const status = await ended(child);
  const killed = status & 0x7f;
  const how = status < 0 || status === 0x7fffffff ? 'early' : killed ? `by signal ${killed}` : `with status ${status >> 8}`;
  const error = new HeapsightError('FORK', `the child ended ${how}${lastWords && `: ${lastWords}`}`);
  if (killed === 9) error.message += '; when memory is short the kernel kills the child first';
  // Another fork would end as this one did.
  error.again = killed !== 9 && !lastWords.includes('out of memory');
  return error;
}

async function attempt(sinks, options) {
  const known = await marked();
  if (options.signal && options.signal.aborted) throw aborted(options.signal);
  const forked = fork(options.stableIds, known);
  const { child } = forked;
  const progress = { bytes: 0, writing: false, head: Buffer.alloc(0), tail: Buffer.alloc(0) };
  let sockets;
  try {
    sockets = open(forked);
  } catch (error) {
    kill(child);
    throw Object.assign(new HeapsightError('FORK', `cannot open the pipes of the child: ${error.message}`), { again: true });
  }
  const watcher = watch(child, progress, options);
  async function* counted(source) {
    for await (const chunk of source) {
      progress.bytes += chunk.length;
      if (progress.head.length < 65536) progress.head = Buffer.concat([progress.head, chunk]).subarray(0, 65536);
      progress.tail = Buffer.concat([progress.tail, chunk.subarray(-16)]).subarray(-16);
      progress.writing = true;
      yield chunk;
      progress.writing = false;
    }
  }
  const [data, status] = sockets;
  try {
    const said = drained(status);
    let failure;
    await promisify(pipeline)(data, counted, ...sinks()).catch((error) => {
      failure = error;
      kill(child);
    });
    const { why, confined, lastWords } = report(await said);
    if (watcher.reason) throw watcher.reason;
    if (failure) throw failure;
    if (why === undefined) throw await died(child, lastWords);
    if (why === 'deadlock' || why === 'nobody read in time') {
      throw Object.assign(new HeapsightError('FORK', `the child could not go on: ${why}`), { again: true });
    }
    if (why) throw new HeapsightError('FORK', why);
    if (!/\]\s*\}\s*$/.test(progress.tail.toString('latin1'))) {
      throw new HeapsightError('FORK', `the end is missing after ${progress.bytes} bytes`);
    }
    return { pauseMs: forked.pause, bytes: progress.bytes, head: progress.head, confined };
  } finally {
    watcher.stop();
    data.destroy();
    status.destroy();
  }
}

/** Has a child write a snapshot to the streams that `sinks` makes anew for each try. */
async function capture(sinks, options) {
  load();
  let stalls = 0;
  for (let tries = 1; ; tries++) {
    try {
      return { ...(await attempt(sinks, options)), tries };
    } catch (error) {
      stalls += error.code === 'ERR_HEAPSIGHT_TIMEOUT' ? 1 : 0;
      if (!error.again || tries >= MOST_TRIES || stalls >= MOST_STALLS) throw error;
    }
    // What other threads were busy with at the fork takes milliseconds.
    await new Promise((resolve) => setTimeout(resolve, 10 * tries));
  }
}

module.exports = { aborted, capture, obstacle };
