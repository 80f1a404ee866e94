'use strict';
// The sampling heap profiler of V8, by the inspector of this process: no port is opened and nothing is compiled.
//
// The interface is that of heap-profile 0.4.0, the native module of this name. Source of the layouts: V8's
// `HeapProfiler.getSamplingProfile`, and the translation of the old module.

const fs = require('fs');
const path = require('path');
const { Session } = require('inspector');

// Deeper results abort some versions of Node.js (26) when they are read.
const DEEPEST = 128;
const INTERVAL = 512 * 1024;

let session;
let layout;

/** The answer to a command; the inspector of one's own thread answers at once. */
function ask(method, params) {
  let failure;
  let answer;
  session.post(method, params, (error, result) => {
    failure = error;
    answer = result;
  });
  if (failure) throw failure instanceof Error ? failure : new Error(failure.message);
  return answer;
}

function positive(name, value) {
  if (typeof value !== 'number' || !(value >= 1)) throw new TypeError(`${name} must be a positive number`);
  return value;
}

function start(config = {}) {
  if (session) return;
  const { sampleIntervalBytes = INTERVAL, stackDepth, layout: wanted = 'inspector' } = config || {};
  const params = { samplingInterval: positive('sampleIntervalBytes', sampleIntervalBytes) };
  if (stackDepth !== undefined) params.stackDepth = Math.min(positive('stackDepth', stackDepth), DEEPEST);
  if (wanted !== 'inspector' && wanted !== 'flat') throw new TypeError("layout must be 'inspector' or 'flat'");
  session = new Session();
  try {
    session.connect();
    ask('HeapProfiler.startSampling', params);
  } catch (error) {
    session.disconnect();
    session = undefined;
    throw error;
  }
  layout = wanted;
}

function stop() {
  if (!session) return;
  const ended = session;
  try {
    ask('HeapProfiler.stopSampling');
  } catch (error) {
    // Somebody else has stopped it: what was to be reached.
  } finally {
    session = undefined;
    ended.disconnect();
  }
}

/** Makes another tree of a profile's, each node from the old one and its new children. Stacks are 128 frames deep at most. */
function translate(node, make) {
  return make(node, node.children.map((child) => translate(child, make)));
}

/** The layout of `get(true)` and of files of the old module. V8 counts lines and columns from 1, the inspector from 0. */
function flat({ callFrame, selfSize }, children) {
  const { functionName, scriptId, lineNumber, columnNumber, url } = callFrame;
  return {
    functionName,
    scriptId: Number(scriptId),
    lineNumber: lineNumber + 1,
    columnNumber: columnNumber + 1,
    url,
    selfSize,
    children,
  };
}

/** The layout of `get()`. The inspector tells what a sample stands for, not the size of the object that was sampled. */
function native(samples) {
  const sizes = new Map();
  for (const { nodeId, size } of samples || []) {
    if (!sizes.has(nodeId)) sizes.set(nodeId, new Map());
    const counts = sizes.get(nodeId);
    counts.set(size, (counts.get(size) || 0) + 1);
  }
  return ({ callFrame, id }, children) => ({
    name: callFrame.functionName,
    scriptName: callFrame.url,
    scriptId: Number(callFrame.scriptId),
    lineNumber: callFrame.lineNumber + 1,
    columnNumber: callFrame.columnNumber + 1,
    allocations: Array.from(sizes.get(id) || [], ([size, count]) => ({ size, count })),
    children,
  });
}

function get(devtools) {
  if (!session) throw new Error('get can only be called after profiler has been started');
  const { head, samples } = ask('HeapProfiler.getSamplingProfile').profile;
  return translate(head, devtools ? flat : native(samples));
}

/** Writes a file that is whole when it has its name. Pipes and devices are written in place. */
async function store(filename, text) {
  const found = await fs.promises.stat(filename).catch(() => undefined);
  if (found && !found.isFile()) return fs.promises.writeFile(filename, text);
  const target = found ? await fs.promises.realpath(filename) : filename;
  const name = `.heap-profile-${process.pid}-${Math.random().toString(36).slice(2)}.partial`;
  const partial = path.join(path.dirname(target), name);
  try {
    await fs.promises.writeFile(partial, text, { mode: 0o600, flag: 'wx' });
    await fs.promises.rename(partial, target);
  } catch (error) {
    await fs.promises.unlink(partial).catch(() => {});
    // What the caller has named, instead of what he has not.
    if (error.path === partial) {
      error.path = filename;
      error.message = error.message.replace(partial, filename);
    }
    throw error;
  }
}

async function save(filename) {
  if (!session) throw new Error('profiler not running');
  const { profile } = ask('HeapProfiler.getSamplingProfile');
  const name = filename || `heap-profile-${Date.now()}.heapprofile`;
  await store(name, JSON.stringify(layout === 'flat' ? { head: translate(profile.head, flat) } : profile));
  return name;
}

function write(filename, callback) {
  if (typeof filename === 'function') return write(undefined, filename);
  const written = save(filename);
  if (!callback) return written;
  // Outside of the promise, so that what the callback throws is an exception like any other.
  written.then(
    (name) => process.nextTick(callback, null, name),
    (error) => process.nextTick(callback, error),
  );
  return undefined;
}

module.exports = { start, stop, get, write };
