'use strict';
// Whether a function leaks, for tests.
//
// The size of a heap says little: V8's own tables come and go by a quarter of a megabyte from one collection to the
// next. So allocations are sampled, densely, over a few rounds of calls. V8 numbers the samples, and keeps those whose
// objects are alive; so in the end each survivor is known with the function that made it and the round in which it did.
// What a function makes in every round and what stays of every round, of the first as of the last, is growth. A cache
// that is full, a pool, and what V8 compiles leave gaps.

const fs = require('fs');
const os = require('os');
const path = require('path');
const { promisify } = require('util');
const { execFile } = require('child_process');
const { HeapsightError } = require('./errors.js');
const inspector = require('./inspector.js');
const sampling = require('./sampling.js');
const { writeHeapSnapshot } = require('./snapshot.js');
const { binary } = require('./platform.js');

const OWN = __dirname;

/** The profile of what is alive: V8 collects garbage before it answers. */
async function alive() {
  // What a promise or a WeakRef keeps until the end of a turn of the loop is let go.
  await new Promise((resolve) => setImmediate(resolve));
  const { profile } = await inspector.ask('HeapProfiler.getSamplingProfile');
  return profile;
}

const last = ({ samples }) => samples.reduce((most, { ordinal }) => Math.max(most, ordinal), 0);

async function round(work, times) {
  for (let i = 0; i < times; i++) await work();
}

const frame = ({ functionName, url, lineNumber, columnNumber }) => {
  const name = functionName || '(anonymous)';
  return url ? `${name} (${url.replace(/^file:\/\//, '')}:${lineNumber + 1}:${columnNumber + 1})` : name;
};

const place = ({ url, lineNumber, columnNumber, functionName }) => `${functionName}\n${url}:${lineNumber}:${columnNumber}`;

const isOwn = (url) => url.replace(/^file:\/\//, '').startsWith(OWN);

/** Bytes that are alive of each round, for each function that allocated; with its callers. */
function survivors({ head, samples }, bounds, ignore) {
  const sites = new Map();
  const byNode = new Map();
  const walk = (node, callers) => {
    const stack = [node.callFrame, ...callers];
    // What is allocated in asking for profiles is nobody's growth.
    const own = stack.find(({ url }) => isOwn(url));
    const asked = own && own.functionName !== round.name;
    if (!asked && !stack.some((each) => ignore(frame(each)))) byNode.set(node.id, { key: place(node.callFrame), stack });
    for (const child of node.children) walk(child, stack);
  };
  walk(head, []);
  for (const { nodeId, size, ordinal } of samples) {
    const at = bounds.findIndex((bound) => ordinal <= bound) - 1;
    const node = byNode.get(nodeId);
    if (at < 0 || !node) continue;
    if (!sites.has(node.key)) sites.set(node.key, { stacks: new Map(), rounds: new Array(bounds.length - 1).fill(0) });
    const site = sites.get(node.key);
    site.rounds[at] += size;
    site.stacks.set(node.stack, (site.stacks.get(node.stack) || 0) + size);
  }
  return [...sites.values()];
}

const median = (numbers) => [...numbers].sort((a, b) => a - b)[numbers.length >> 1];

const size = (bytes) => (bytes < 1024 ? `${Math.round(bytes)} B` : `${(bytes / 1024).toFixed(1)} KiB`);

/** The frames of a stack that are to be shown: those of the program, the allocating one first. */
function shown(stack) {
  const program = stack.filter(({ url }, i) => url && !url.startsWith('node:') && (i === 0 || !url.includes('node_modules')));
  const outside = program.findIndex(({ url }) => isOwn(url));
  const frames = outside < 0 ? program : program.slice(0, outside);
  return (frames.length ? frames : stack.slice(0, 1)).slice(0, 5).map(frame);
}

/** What the leak finder says of a few further rounds: the container that grows, by its name in the program. */
async function holders(work, times) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'heapsight-'));
  try {
    const taken = [];
    let stableIds = true;
    for (let i = 0; i < 4; i++) {
      if (i) await round(work, times);
      const file = path.join(folder, `${i}.heapsnapshot`);
      try {
        await writeHeapSnapshot(file, { stableIds });
      } catch (error) {
        if (i || error.code !== 'ERR_HEAPSIGHT_UNSUPPORTED') throw error;
        stableIds = false;
        await writeHeapSnapshot(file);
      }
      taken.push(file);
    }
    const args = ['leak', ...taken, '-n', String(times), '--json', '--no-cache', '--quiet'];
    const { stdout } = await promisify(execFile)(binary(), args, { maxBuffer: 64 << 20 });
    // The runner of tests keeps books on what a snapshot starts; and what Node.js holds is seldom where to look first.
    const found = JSON.parse(stdout).suspects.filter(({ location }) => !location?.url.startsWith('node:internal/test_runner'));
    const inside = ({ location }) => Number(Boolean(location?.url.startsWith('node:')));
    return found.sort((a, b) => inside(a) - inside(b)).map(({ title, holder, location }) => {
      const where = location ? ` (${location.url}:${location.line}:${location.column})` : '';
      return `${title || holder}${where}`;
    });
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
  }
}

function message(growth, buffers, rounds, times) {
  const lines = growth.map(({ perCall, rounds: bytes, allocatedBy }) => {
    const each = bytes.map(size).join(', ');
    return [`  +${size(perCall)} a call, allocated in ${allocatedBy[0]}`, ...allocatedBy.slice(1).map((at) => `      from ${at}`)]
      .concat(`      stayed of each round: ${each}`)
      .join('\n');
  });
  // A buffer's bytes are outside of the heap; the sampled object is but its handle.
  if (buffers > 1024) lines.push(`  +${size(buffers)} a call in buffers, outside of the heap`);
  const calls = times === 1 ? '1 call' : `${times} calls`;
  return `memory grew in each of ${rounds} rounds of ${calls}\n${lines.join('\n')}`;
}

/** See index.d.ts. */
async function expectNoGrowth(work, options = {}) {
  if (typeof work !== 'function') throw new HeapsightError('ARGUMENT', 'expectNoGrowth takes a function');
  const { rounds = 5, times = 20, warmUp = 2, tolerance = 8, interval = 8, ignore = [], snapshots = false } = options;
  for (const [name, value, least] of [['rounds', rounds, 2], ['times', times, 1], ['warmUp', warmUp, 0]]) {
    if (!(Number.isInteger(value) && value >= least)) {
      throw new HeapsightError('ARGUMENT', `${name} must be a whole number of ${least} or more`);
    }
  }
  const patterns = [].concat(ignore);
  const ignored = (text) => patterns.some((pattern) => (pattern instanceof RegExp ? pattern.test(text) : text.includes(pattern)));
  for (let i = 0; i < warmUp; i++) await round(work, times);
  await sampling.startSampling({ interval });
  const bounds = [];
  const outside = [];
  let profile;
  try {
    // One round that is not counted: functions are compiled anew for what sampling changes.
    await round(work, times);
    bounds.push(last(await alive()));
    for (let i = 0; i < rounds; i++) {
      await round(work, times);
      profile = await alive();
      bounds.push(last(profile));
      outside.push(process.memoryUsage().arrayBuffers);
    }
  } finally {
    await sampling.stopSampling().catch(() => {});
  }
  const growth = survivors(profile, bounds, ignored)
    .map(({ rounds: bytes, stacks }) => {
      const [stack] = [...stacks].sort((a, b) => b[1] - a[1])[0];
      return { perCall: median(bytes) / times, rounds: bytes, allocatedBy: shown(stack) };
    })
    .filter(({ perCall, rounds: bytes }) => perCall > tolerance && bytes.every((each) => each > 0))
    .sort((a, b) => b.perCall - a.perCall);
  if (!growth.length) return { rounds, times };
  const more = { growth, heldBy: undefined };
  const buffers = median(outside.slice(1).map((bytes, i) => bytes - outside[i])) / times;
  let text = message(growth.slice(0, 5), buffers, rounds, times);
  if (snapshots) {
    more.heldBy = await holders(work, times);
    text += `\n  held by ${more.heldBy.join(', ') || 'nothing that could be named'}`;
  }
  throw new HeapsightError('GROWTH', text, more);
}

module.exports = { expectNoGrowth };
