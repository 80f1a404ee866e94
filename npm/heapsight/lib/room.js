'use strict';
// What memory there is, and what a snapshot will need of it: a capture must not get the program killed.
//
// The costs were measured, see docs/capturing-in-production.md: 550 bytes a node of the heap, and a node for each 70
// bytes of heap. Control groups are Linux's; elsewhere there is the machine's memory alone.

const fs = require('fs');
const os = require('os');
const v8 = require('v8');
const { HeapsightError } = require('./errors.js');

const HEAP_BYTES_PER_NODE = 70;
const MEMORY_PER_NODE = 550;
const LEAVE = 64 << 20;

function read(file) {
  try {
    return fs.readFileSync(file, 'latin1');
  } catch (error) {
    return '';
  }
}

/** A value of a table of `name value` lines. */
function field(table, name) {
  const match = new RegExp(`^${name}:?\\s+(\\d+)`, 'm').exec(table);
  return match ? Number(match[1]) : 0;
}

/** The folders of this process's control group and of those above it, with the names of the files there. */
function groups() {
  const found = [];
  for (const line of read('/proc/self/cgroup').split('\n')) {
    const [, controllers, name] = /^\d+:([^:]*):(.*)$/.exec(line) || [];
    const first = controllers !== undefined && controllers.split(',').includes('memory');
    if (controllers !== '' && !first) continue;
    const root = first ? '/sys/fs/cgroup/memory' : '/sys/fs/cgroup';
    const files = first
      ? { limit: 'memory.limit_in_bytes', usage: 'memory.usage_in_bytes', cache: 'total_inactive_file' }
      : { limit: 'memory.max', usage: 'memory.current', cache: 'inactive_file' };
    for (let at = name; ; at = at.slice(0, at.lastIndexOf('/'))) {
      found.push({ folder: root + (at === '/' ? '' : at), ...files });
      if (at === '' || at === '/') break;
    }
  }
  return found;
}

/** Bytes that can be had before the kernel kills somebody. */
function room() {
  const meminfo = read('/proc/meminfo');
  let least = meminfo ? field(meminfo, 'MemAvailable') * 1024 : os.freemem();
  for (const { folder, limit, usage, cache } of groups()) {
    const most = parseInt(read(`${folder}/${limit}`), 10);
    if (!(most < 2 ** 60)) continue;
    const used = Number(read(`${folder}/${usage}`)) - field(read(`${folder}/memory.stat`), cache);
    least = Math.min(least, Math.max(0, most - used));
  }
  return least;
}

/** Bytes that a snapshot needs beside what there is. */
function need(method) {
  const nodes = v8.getHeapStatistics().used_heap_size / HEAP_BYTES_PER_NODE;
  // Pages that the program rewrites while a child reads them are there twice.
  const { rss } = process.memoryUsage();
  return nodes * MEMORY_PER_NODE + (method === 'fork' ? Math.min(rss, rss / 4 + (32 << 20)) : 0);
}

const mebibytes = (bytes) => `${Math.ceil(bytes / 2 ** 20)} MiB`;

/** Refuses a snapshot that would not fit. */
function check(method) {
  const [wanted, there] = [need(method), room()];
  if (wanted <= there) return;
  throw new HeapsightError(
    'NO_ROOM',
    `a snapshot needs about ${mebibytes(wanted)} of memory, and ${mebibytes(there)} are left; ` +
      'a sampling profile needs next to nothing, and { force: true } takes the snapshot all the same',
  );
}

/** Says whether memory gets so short that a child must end. */
function guard() {
  const leave = Math.min(LEAVE, room() / 4);
  return () => room() < leave;
}

module.exports = { check, guard, mebibytes, need, room };
