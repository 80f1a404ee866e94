'use strict';
// What triggers ask for, one capture at a time and not too often.

const path = require('path');
const { HeapsightError } = require('./errors.js');
const sampling = require('./sampling.js');
const { writeHeapSnapshot } = require('./snapshot.js');
const { recordTimeline } = require('./timeline.js');
const turn = require('./turn.js');

const KINDS = ['snapshot', 'sample', 'timeline'];
const MOST_SECONDS = 3600;

/** Waits, less long if `signal` says so. */
function wait(seconds, signal) {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      if (signal) signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, seconds * 1000);
    // A program that is done need not wait for the end of a capture.
    timer.unref();
    if (signal) signal.addEventListener('abort', done);
  });
}

class Desk {
  /**
   * @param {{ directory?: string, method?: string, seconds?: number, interval?: number, cooldown?: number }} options
   *   `cooldown` is in seconds, from the end of a capture to the beginning of the next.
   */
  constructor({ directory = '.', method = 'auto', seconds = 30, interval, cooldown = 10 } = {}) {
    this.directory = path.resolve(directory);
    this.method = method;
    this.seconds = seconds;
    this.interval = interval;
    this.cooldown = cooldown;
    this.working = undefined;
    this.free = 0;
  }

  /** Why there can be no capture now; nothing if there can. */
  obstacle() {
    const now = this.working || turn.running();
    if (now) return new HeapsightError('BUSY', `${now} is being taken`);
    const left = this.free - Date.now();
    if (left <= 0) return undefined;
    const retryAfter = Math.ceil(left / 1000);
    return new HeapsightError('COOLDOWN', `the last capture was a moment ago; again in ${retryAfter} s`, { retryAfter });
  }

  /** Takes a capture; its file and what else is known of it. */
  async capture(kind, { method = this.method, seconds = this.seconds, interval = this.interval, signal } = {}) {
    if (!KINDS.includes(kind)) throw new HeapsightError('ARGUMENT', `\`${kind}\` is none of ${KINDS.join(', ')}`);
    if (!(seconds > 0 && seconds <= MOST_SECONDS)) {
      throw new HeapsightError('ARGUMENT', `seconds must be a number above 0 and up to ${MOST_SECONDS}`);
    }
    const obstacle = this.obstacle();
    if (obstacle) throw obstacle;
    this.working = `a ${kind}`;
    try {
      if (kind === 'snapshot') return await writeHeapSnapshot(this.directory, { method, signal });
      if (kind === 'timeline') {
        const { result, ...taken } = await recordTimeline(() => wait(seconds, signal), { file: this.directory });
        return taken;
      }
      return await this.sample(seconds, interval, signal);
    } finally {
      this.working = undefined;
      this.free = Date.now() + this.cooldown * 1000;
    }
  }

  /** A profile of so many seconds; of a profile that runs anyway, what it has by then. */
  async sample(seconds, interval, signal) {
    const own = !sampling.isSampling();
    if (own) await sampling.startSampling({ interval });
    await wait(seconds, signal);
    const { file } = own ? await sampling.stopSampling(this.directory) : await sampling.writeSampling(this.directory);
    return { file };
  }
}

module.exports = { Desk, KINDS };
