'use strict';

const { randomUUID } = require('node:crypto');

const CONCURRENCY = 4;
const byId = {};
const queue = [];
let running = 0;

function submit(kind, options) {
  const job = { id: randomUUID(), kind, options, state: 'queued', submitted: Date.now(), log: [] };
  byId[job.id] = job;
  queue.push(job);
  setImmediate(work);
  return job;
}

async function work() {
  if (running >= CONCURRENCY || queue.length === 0) return;
  const job = queue.shift();
  running += 1;
  try {
    await perform(job);
    job.state = 'done';
  } catch (error) {
    job.state = 'failed';
    job.log.push(error.message);
  } finally {
    running -= 1;
    setImmediate(work);
  }
}

async function perform(job) {
  job.state = 'running';
  job.log.push(`reading ${job.options.source}`);
  await new Promise((resolve) => setImmediate(resolve));
  job.log.push(`scaling to ${job.options.width}x${job.options.height}`);
  job.result = { path: `/thumbs/${job.id}.webp`, bytes: job.options.width * job.options.height };
}

function find(id) {
  return byId[id];
}

function waiting() {
  return queue.length;
}

module.exports = { submit, find, waiting };
