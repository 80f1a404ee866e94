'use strict';

const { parentPort } = require('node:worker_threads');
const { createHash } = require('node:crypto');
const { performance } = require('node:perf_hooks');

const history = [];
const formats = new Map([
  ['png', { type: 'image/png', lossy: false }],
  ['jpg', { type: 'image/jpeg', lossy: true }],
  ['webp', { type: 'image/webp', lossy: true }],
]);

function dimensions(width) {
  const scaled = Math.min(Math.max(width, 16), 4096);
  return { width: scaled, height: Math.round((scaled * 9) / 16) };
}

function render(task) {
  const extension = task.name.split('.').pop();
  const format = formats.get(extension) ?? formats.get('png');
  const { width, height } = dimensions(task.width);
  const digest = createHash('sha1').update(`${task.name}:${width}x${height}`).digest('hex');
  return { type: format.type, width, height, etag: digest };
}

parentPort.on('message', (task) => {
  const started = performance.now();
  const result = render(task);
  history.push({ task, result, took: performance.now() - started });
  parentPort.postMessage({ id: task.id, result });
});
