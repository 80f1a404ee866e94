// An HTTP server with a heap of many small objects, which reports how long its event loop stood still.
// usage: node server.cjs OBJECTS
//   GET /           answers after making some garbage
//   GET /stall      {"max_ms": the longest stall since the last /stall, "rss": bytes}; resets it
//   GET /add?n=N    adds N objects of class Added
//   GET /snapshot?file=F   V8's own snapshot, in place
//   GET /slice?interval=N  from now on sampling every N bytes, or none for 0; {"requests", "cpu_us"} since the last /slice
const http = require('http');
const v8 = require('v8');
const inspector = require('inspector');

class Customer {
  constructor(i) {
    this.id = i;
    this.name = 'customer-' + i;
    this.tags = ['a' + (i % 17), 'b' + (i % 31)];
    this.address = {street: 'street ' + i, zip: i % 99999};
  }
}
class Added {
  constructor(i) {
    this.no = i;
  }
}
const count = Number(process.argv[2]);
const customers = [];
// Four objects each: the customer, the tags, the address, and the name.
for (let i = 0; i < count / 4; i++) customers.push(new Customer(i));
const added = [];

let last = performance.now();
let longest = 0;
setInterval(() => {
  const now = performance.now();
  longest = Math.max(longest, now - last - 5);
  last = now;
}, 5);

// The calls that `heapsight sample` makes, by the process itself, so that they can follow each other quickly.
const session = new inspector.Session();
session.connect();
let slice = {requests: 0, cpu: process.cpuUsage()};
function next(interval, done) {
  const used = process.cpuUsage(slice.cpu);
  const ended = {requests: slice.requests, cpu_us: used.user + used.system};
  session.post('HeapProfiler.stopSampling', () => {
    const begin = () => {
      slice = {requests: 0, cpu: process.cpuUsage()};
      done(ended);
    };
    if (interval > 0) session.post('HeapProfiler.startSampling', {samplingInterval: interval}, begin);
    else begin();
  });
}

const server = http.createServer((request, response) => {
  const url = new URL(request.url, 'http://localhost');
  if (url.pathname === '/stall') {
    // What has not been seen by the timer yet counts too.
    longest = Math.max(longest, performance.now() - last - 5);
    response.end(JSON.stringify({max_ms: longest, rss: process.memoryUsage().rss}));
    longest = 0;
    last = performance.now();
  } else if (url.pathname === '/slice') {
    next(Number(url.searchParams.get('interval')), (ended) => response.end(JSON.stringify(ended)));
  } else if (url.pathname === '/add') {
    const n = Number(url.searchParams.get('n'));
    for (let i = 0; i < n; i++) added.push(new Added(i));
    response.end(String(added.length));
  } else if (url.pathname === '/snapshot') {
    v8.writeHeapSnapshot(url.searchParams.get('file'));
    response.end('done');
  } else {
    slice.requests += 1;
    const lines = Array.from({length: 200}, (_, i) => ({i, text: 'line ' + i, price: i * 1.01}));
    response.end(JSON.stringify({customers: customers.length, first: lines[0]}));
  }
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
