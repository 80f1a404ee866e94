// What DevTools does between "Load profile" and the table of the Summary: load, analyse on two threads, aggregate.
// Prints totals as JSON, so that the benchmark can see that both computed the same.
import fs from 'node:fs';
import {MessageChannel, Worker} from 'node:worker_threads';
import {StringDecoder} from 'node:string_decoder';
import {Loader, Model} from './engine.mjs';

const file = process.argv[2];
const loader = new Loader.HeapSnapshotLoader({sendEvent() {}});
console.warn = () => {};
const decoder = new StringDecoder('utf8');
for await (const chunk of fs.createReadStream(file, {highWaterMark: 8 << 20})) loader.write(decoder.write(chunk));
loader.close();
await loader.parsingComplete;
const {port1, port2} = new MessageChannel();
const worker = new Worker(new URL('./worker.mjs', import.meta.url), {resourceLimits: {maxOldGenerationSizeMb: 14000, stackSizeMb: 16}});
worker.postMessage({port: port2}, [port2]);
const snapshot = await loader.buildSnapshot(port1);
const classes = Object.values(snapshot.aggregatesWithFilter(new Model.NodeFilter()));
const sum = field => classes.reduce((total, c) => total + c[field], 0);
console.log(JSON.stringify({
  nodes: snapshot.nodeCount,
  total_size: snapshot.totalSize,
  classes: classes.length,
  count: sum('count'),
  self_size: sum('self'),
  retained_size: sum('maxRet'),
}));
process.exit(0);
