import { setMaxListeners } from 'node:events';

/** Aborted when the process is asked to end; whatever waits may listen to its signal. */
export const shutdown = new AbortController();

setMaxListeners(0, shutdown.signal);

export function stopping() {
  return shutdown.signal.aborted;
}
