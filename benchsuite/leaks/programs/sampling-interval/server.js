'use strict';

const http = require('node:http');
const os = require('node:os');
const { performance, monitorEventLoopDelay } = require('node:perf_hooks');

const delay = monitorEventLoopDelay({ resolution: 20 });
delay.enable();

const samples = [];
const started = performance.now();
let requests = 0;

function sample() {
  const [one, five, fifteen] = os.loadavg();
  return {
    at: new Date(),
    uptime: performance.now() - started,
    load: { one, five, fifteen },
    delay: { mean: delay.mean / 1e6, max: delay.max / 1e6 },
    requests,
  };
}

let sampler;
function startSampling() {
  if (sampler) return;
  sampler = setInterval(() => {
    samples.push(sample());
    delay.reset();
  }, 10);
}

// The dashboard asks for the last minute once a second.
function average(count) {
  const recent = samples.slice(-count);
  if (recent.length === 0) return 0;
  return recent.reduce((sum, s) => sum + s.delay.mean, 0) / recent.length;
}

const server = http.createServer((req, res) => {
  requests += 1;
  startSampling();
  if (req.url === '/health') {
    res.writeHead(204).end();
    return;
  }
  const body = JSON.stringify({ requests, delay: average(100), rss: process.memoryUsage.rss() });
  res.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) });
  res.end(body);
});

server.keepAliveTimeout = 30_000;
server.listen(Number(process.env.PORT || 0), '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});

process.on('SIGTERM', () => {
  clearInterval(sampler);
  server.close();
});
