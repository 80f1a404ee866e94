// The types as ES modules see them.
import heapProfile, { start, write } from 'heap-profile';
import heapsight, { expectNoGrowth, recordTimeline, serveCaptures, writeHeapSnapshot, type Snapshot } from 'heapsight';
import 'heapsight/register';

start({ sampleIntervalBytes: 1024, stackDepth: 8, layout: 'flat' });
const file: string = await write();
heapProfile.write(file, (error: Error | null, name?: string) => void [error, name]);
const native: number = heapProfile.get().allocations[0]!.count;
const devtools: number = heapProfile.get(true).selfSize + native;

const taken: Snapshot = await writeHeapSnapshot('a.heapsnapshot', { method: 'fork', stableIds: true, signal: AbortSignal.timeout(devtools) });
await heapsight.writeHeapSnapshot({ method: 'v8' });
const { result }: { result: number } = await recordTimeline(async () => taken.pauseMs, { stacks: false });
await expectNoGrowth(() => result, { rounds: 3, ignore: [/console/, 'jest'] });
const { url, close } = await serveCaptures({ token: 'x'.repeat(16), port: 0, cooldown: 60 });
const stop: () => void = heapsight.captureOnSignal('SIGUSR2', { kind: 'sample', directory: url });
stop();
await close();

// @ts-expect-error: no such method
await writeHeapSnapshot('a', { method: 'magic' });
// @ts-expect-error: the token is required
await serveCaptures({});
// @ts-expect-error: no such layout
start({ layout: 'round' });
