// The same module for `import`.
import heapsight from './index.js';

export const {
  HeapsightError,
  captureOnSignal,
  expectNoGrowth,
  recordTimeline,
  serveCaptures,
  startSampling,
  stopSampling,
  writeHeapSnapshot,
  writeSampling,
} = heapsight;
export default heapsight;
