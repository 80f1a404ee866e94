// A heap of many small objects: N customers with three orders each, indexed by a Map and held by closures.
// usage: node --max-old-space-size=16000 generate-heap.cjs N OUT.heapsnapshot
const v8 = require('v8');
const [n, out] = [Number(process.argv[2]), process.argv[3]];

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
    this.lines = [
      {sku: 'sku-' + (i % 9973), qty: i % 7, price: i * 1.01},
      {sku: 'sku-' + ((i * 7) % 9973), qty: 1, price: 0.5},
    ];
  }
}
const index = new Map();
const all = [];
for (let i = 0; i < n; i++) {
  const customer = new Customer(i);
  for (let k = 0; k < 3; k++) customer.orders.push(new Order(customer, i * 3 + k));
  index.set('k' + i, customer);
  all.push(() => customer);
}
globalThis.index = index;
globalThis.all = all;
v8.writeHeapSnapshot(out);
