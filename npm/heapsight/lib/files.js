'use strict';
// Where a capture goes: under its name when it is whole, with mode 0600, and under a temporary name until then.

const fs = require('fs');
const path = require('path');
const { threadId } = require('worker_threads');

let sequence = 0;

/** Node's own pattern: `Heap.<yyyymmdd>.<hhmmss>.<pid>.<thread>.<seq>.<extension>`. */
function defaultName(extension) {
  const now = new Date();
  const two = (number) => String(number).padStart(2, '0');
  const date = `${now.getFullYear()}${two(now.getMonth() + 1)}${two(now.getDate())}`;
  const time = two(now.getHours()) + two(now.getMinutes()) + two(now.getSeconds());
  sequence += 1;
  return `Heap.${date}.${time}.${process.pid}.${threadId}.${String(sequence).padStart(3, '0')}.${extension}`;
}

/** The path of a capture: what is asked for, or a default name in the folder that is asked for. */
async function place(file, extension) {
  if (file === undefined || file === null) return path.resolve(defaultName(extension));
  const wanted = path.resolve(file instanceof URL ? require('url').fileURLToPath(file) : String(file));
  const found = await fs.promises.stat(wanted).catch(() => undefined);
  if (found && found.isDirectory()) return path.join(wanted, defaultName(extension));
  // Through a link to what it names, as writing in place would.
  return found ? fs.promises.realpath(wanted) : wanted;
}

/** A file under its temporary name. The command removes what a killed process has left under such names. */
class Partial {
  constructor(target) {
    const random = Math.random().toString(36).slice(2);
    this.target = target;
    this.path = path.join(path.dirname(target), `.heapsight-${process.pid}-${random}.partial`);
    try {
      fs.closeSync(fs.openSync(this.path, 'wx', 0o600));
    } catch (error) {
      // The name that the caller knows.
      error.message = error.message.replace(this.path, target);
      error.path = target;
      throw error;
    }
  }

  /** Gives it its name. */
  async commit() {
    const file = await fs.promises.open(this.path, 'r');
    try {
      await file.sync();
    } finally {
      await file.close();
    }
    await fs.promises.rename(this.path, this.target);
    return this.target;
  }

  discard() {
    fs.rmSync(this.path, { force: true });
  }
}

/** Has `fill` write a file, which gets its name if that succeeds and leaves nothing otherwise. */
async function whole(target, fill) {
  const partial = new Partial(target);
  try {
    const result = await fill(partial.path);
    await partial.commit();
    return result;
  } catch (error) {
    partial.discard();
    throw error;
  }
}

/** Writes text, as `whole`. */
const text = (target, content) => whole(target, (partial) => fs.promises.writeFile(partial, content));

module.exports = { defaultName, place, whole, text };
