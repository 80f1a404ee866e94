import { AsyncLocalStorage } from 'node:async_hooks';
import { performance } from 'node:perf_hooks';

const current = new AsyncLocalStorage();
const SLOW_MS = 250;

class Span {
  constructor(name, parent) {
    this.name = name;
    this.parent = parent;
    this.children = [];
    this.start = performance.now();
    this.end = undefined;
    parent?.children.push(this);
  }

  finish() {
    this.end = performance.now();
    if (this.parent && this.end - this.start > SLOW_MS) console.warn(this.toString());
  }

  toString(depth = 0) {
    const took = ((this.end ?? performance.now()) - this.start).toFixed(1);
    const own = `${'  '.repeat(depth)}${this.name}: ${took} ms`;
    return [own, ...this.children.map((child) => child.toString(depth + 1))].join('\n');
  }
}

/** Runs the main function of a process; what it starts belongs to one trace. */
export function startProcess(name, main) {
  return current.run(new Span(name), main);
}

/** Measures an asynchronous function as a part of what is being measured already. */
export async function span(name, action) {
  const own = new Span(name, current.getStore());
  try {
    return await current.run(own, action);
  } finally {
    own.finish();
  }
}
