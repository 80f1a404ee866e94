'use strict';
// Heap snapshots of this isolate, by a fork where that works, else by V8 in place.

const crypto = require('crypto');
const fs = require('fs');
const v8 = require('v8');
const zlib = require('zlib');
const { pipeline } = require('stream');
const { promisify } = require('util');
const { threadId } = require('worker_threads');
const { HeapsightError } = require('./errors.js');
const files = require('./files.js');
const fork = require('./fork.js');
const inspector = require('./inspector.js');
const room = require('./room.js');
const turn = require('./turn.js');

const METHODS = ['auto', 'fork', 'v8'];

/** The streams that pack a file as its name asks for. */
function packing(file) {
  if (file.endsWith('.gz')) return [zlib.createGzip({ level: 1 })];
  if (!file.endsWith('.zst')) return [];
  if (!zlib.createZstdCompress) {
    throw new HeapsightError('UNSUPPORTED', `Node.js ${process.version} has no Zstandard: name the file .gz`);
  }
  return [zlib.createZstdCompress()];
}

/** V8 in place: the thread stands still. */
async function inPlace(partial, target) {
  const packed = packing(target);
  const plain = packed.length ? `${partial}.plain` : partial;
  try {
    const begun = process.hrtime.bigint();
    v8.writeHeapSnapshot(plain);
    const pauseMs = Number(process.hrtime.bigint() - begun) / 1e6;
    const file = await fs.promises.open(plain, 'r');
    const head = Buffer.alloc(65536);
    const tail = Buffer.alloc(16);
    const { size: bytes } = await file.stat();
    await file.read(head, 0, head.length, 0);
    await file.read(tail, 0, tail.length, Math.max(0, bytes - tail.length));
    await file.close();
    if (!/\]\s*\}[\s\0]*$/.test(tail.toString('latin1'))) {
      throw new HeapsightError('INCOMPLETE', `the end is missing after ${bytes} bytes`);
    }
    if (packed.length) {
      await promisify(pipeline)(fs.createReadStream(plain), ...packed, fs.createWriteStream(partial));
    }
    return { pauseMs, bytes, head, tries: 1 };
  } finally {
    if (packed.length) fs.rmSync(plain, { force: true });
  }
}

/** By which of the methods, and why not by a fork if that was tried. */
function choose(method, stableIds) {
  if (!METHODS.includes(method)) {
    throw new HeapsightError('ARGUMENT', `method \`${method}\` is none of ${METHODS.join(', ')}`);
  }
  const obstacle = method === 'v8' ? undefined : fork.obstacle();
  if (method === 'fork' && obstacle) throw new HeapsightError('UNSUPPORTED', `no fork snapshot: ${obstacle}`);
  const chosen = method === 'auto' ? (obstacle ? 'v8' : 'fork') : method;
  if (stableIds && chosen !== 'fork') {
    throw new HeapsightError('UNSUPPORTED', `stable ids need a fork snapshot${obstacle ? `: ${obstacle}` : ''}`);
  }
  return { chosen, note: chosen === 'v8' ? obstacle : undefined };
}

/**
 * Where object ids come from, for the side file: captures can be compared by id if all of this is equal. V8 forgets ids
 * when any inspector session of the thread ends; an object of ours tells, because its id is gone then too.
 */
const ids = {
  object: {},
  last: undefined,
  epoch: undefined,
  async current() {
    const key = Symbol.for('heapsight.witness');
    Object.defineProperty(process, key, { value: ids.object, configurable: true });
    const expression = "process[Symbol.for('heapsight.witness')]";
    const { result } = await inspector.ask('Runtime.evaluate', { expression });
    delete process[key];
    const { objectId } = result;
    // In a sandbox of Jest `process` is another one.
    if (objectId === undefined) return undefined;
    try {
      return (await inspector.ask('HeapProfiler.getHeapObjectId', { objectId })).heapSnapshotObjectId;
    } catch (error) {
      return undefined;
    } finally {
      await inspector.ask('Runtime.releaseObject', { objectId });
    }
  },
  async space() {
    const current = await ids.current();
    if (current === undefined || Number(current) === 0) return null;
    if (current !== ids.last) {
      ids.last = current;
      ids.epoch = crypto.randomBytes(4).readUInt32LE();
    }
    const stat = fs.readFileSync('/proc/self/stat', 'latin1');
    return {
      boot_id: fs.readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim(),
      process_start: Number(stat.slice(stat.lastIndexOf(') ') + 2).split(' ')[19]),
      pid: process.pid,
      thread: threadId,
      epoch: ids.epoch,
    };
  },
};

/** What the snapshot does not say itself, beside it; docs/file-formats.md has the layout. */
async function sideFile(target, captured, space) {
  const scripts = await inspector.scripts();
  const content = {
    format: 'heapsight-capture',
    format_version: 1,
    tool: { name: 'heapsight', version: require('../package.json').version },
    capture: captured,
    process: {
      pid: process.pid,
      thread: threadId,
      thread_name: null,
      executable: process.execPath,
      script: process.argv[1] || null,
    },
    runtime: { name: 'node', version: process.versions.node, versions: { ...process.versions } },
    id_space: space,
    scripts,
  };
  await files.text(`${target}.meta.json`, `${JSON.stringify(content, null, 2)}\n`);
}

/** A count of the snapshot's header. */
function count(head, name) {
  const match = new RegExp(`"${name}":\\s*(\\d+)`).exec(head.toString('latin1'));
  return match ? Number(match[1]) : 0;
}

/**
 * Writes a heap snapshot of this isolate; see index.d.ts.
 *
 * @param {string} [file]
 */
async function writeHeapSnapshot(file, options = {}) {
  if (file && typeof file === 'object' && !(file instanceof URL)) [file, options] = [undefined, file];
  const { method = 'auto', stableIds = false, force = false, sideFile: beside = true, timeout, signal } = options;
  if (signal && signal.aborted) throw fork.aborted(signal);
  return turn.take('a heap snapshot', async () => {
    let { chosen, note } = choose(method, stableIds);
    if (!force) room.check(chosen);
    const target = await files.place(file, 'heapsnapshot');
    const time = new Date().toISOString();
    const begun = process.hrtime.bigint();
    let space = null;
    const taken = await files.whole(target, async (partial) => {
      if (chosen === 'fork') {
        const sinks = () => [...packing(target), fs.createWriteStream(partial, { flags: 'w', mode: 0o600 })];
        try {
          const made = await fork.capture(sinks, { stableIds, timeout, signal, force });
          if (stableIds) space = await ids.space();
          return made;
        } catch (error) {
          if (method !== 'auto' || stableIds || error.code !== 'ERR_HEAPSIGHT_FORK') throw error;
          note = error.message;
        }
        if (!force) room.check('v8');
        chosen = 'v8';
      }
      return inPlace(partial, target);
    });
    const durationMs = Number(process.hrtime.bigint() - begun) / 1e6;
    const { bytes, head, pauseMs, tries } = taken;
    const [nodes, edges] = [count(head, 'node_count'), count(head, 'edge_count')];
    const captured = { kind: 'heapsnapshot', method: chosen === 'fork' ? 'fork' : 'in-process', time };
    Object.assign(captured, { pause_ms: pauseMs, duration_ms: durationMs, bytes, nodes, edges });
    if (beside) {
      await sideFile(target, captured, space).catch((error) => {
        // The snapshot is whole without it.
        note = `there is no side file: ${error.message}`;
      });
    }
    return { file: target, method: chosen, bytes, nodes, edges, pauseMs, durationMs, tries, note };
  });
}

module.exports = { METHODS, writeHeapSnapshot };
