// A heap like that of generate-heap.cjs, made while its allocations are recorded: writes the timeline, and a snapshot of the
// same objects.
// usage: node --max-old-space-size=8000 record-timeline.cjs N OUT.heaptimeline OUT.heapsnapshot
const fs = require('fs');
const v8 = require('v8');
const {Session} = require('inspector');
const [n, timeline, snapshot] = [Number(process.argv[2]), process.argv[3], process.argv[4]];

class Customer {
  constructor(i) {
    this.id = i;
    this.name = 'customer-' + i;
    this.orders = [];
    this.meta = {created: new Date(), tags: ['a' + (i % 17), 'b' + (i % 31)]};
  }
}
class Order {
  constructor(customer, i) {
    this.customer = customer;
    this.no = i;
    this.lines = [{sku: 'sku-' + (i % 9973), qty: i % 7}, {sku: 'sku-' + ((i * 7) % 9973), qty: 1}];
  }
}
const all = globalThis.all = [];
function customer(i) {
  const made = new Customer(i);
  for (let k = 0; k < 3; k++) made.orders.push(new Order(made, i * 3 + k));
  all.push(made);
}

const PARTS = 8;

async function main() {
  const session = new Session();
  session.connect();
  const post = (method, params) => session.post(method, params, error => {
    if (error) throw error;
  });
  post('HeapProfiler.enable');
  post('HeapProfiler.startTrackingHeapObjects', {trackAllocations: true});
  for (let part = 0; part < PARTS; part++) {
    for (let i = part * n / PARTS; i < (part + 1) * n / PARTS; i++) customer(i);
    // V8 samples the heap every 50 ms, if the event loop turns.
    await new Promise(done => setTimeout(done, 60));
  }
  const out = fs.openSync(timeline, 'w');
  session.on('HeapProfiler.addHeapSnapshotChunk', message => fs.writeSync(out, message.params.chunk));
  post('HeapProfiler.stopTrackingHeapObjects', {reportProgress: false});
  fs.closeSync(out);
  session.disconnect();
  v8.writeHeapSnapshot(snapshot);
}
main();
