// A server with a heap of so many megabytes that works at a fixed rate: 100 times a second it makes and drops objects as a
// request would, and keeps some of them. Prints how long its work took in all when it is asked by a line on its input.
const megabytes = Number(process.argv[2] || 100);
const busy = process.argv[3] !== 'idle';
class Session { constructor(i) { this.id = i; this.data = new Array(60).fill(i); } }
const kept = [];
while (process.memoryUsage().heapUsed < megabytes * 1024 * 1024) for (let i = 0; i < 1000; i++) kept.push(new Session(i));
let turn = 0;
function request() {
  let sum = 0;
  for (let i = 0; i < 200; i++) sum += JSON.parse(JSON.stringify({ i, text: 'x'.repeat(50), list: [1, 2, 3, i] })).list[3];
  kept[turn++ % kept.length] = new Session(sum);
}
if (busy) setInterval(request, 10);
else setInterval(() => {}, 1000);
console.log('ready');
process.stdin.on('end', () => process.exit()).resume();
