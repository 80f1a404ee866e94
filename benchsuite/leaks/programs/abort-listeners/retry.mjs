import { setTimeout as sleep } from 'node:timers/promises';

/** Calls `action` until it succeeds, at most `times` times, with a pause between that the signal ends. */
export async function withRetries(action, { times, signal }) {
  let cancelled = false;
  const state = { started: Date.now(), failures: [] };
  signal.addEventListener('abort', () => {
    cancelled = true;
    state.failures.push(signal.reason);
  });

  for (let attempt = 1; ; attempt += 1) {
    try {
      return await action(attempt);
    } catch (error) {
      state.failures.push(error);
      if (cancelled || attempt === times) throw error;
      await sleep(attempt);
    }
  }
}
