// What the npm packages cost a program: `node benchsuite/npm/overhead.mjs PROJECT OUT`, where PROJECT is a folder in which
// both packages are installed. Servers with different triggers take turns under the same load; medians of the ratios of
// turns are told, with the interval that is right in 95 of 100 resamplings. Then the longest stall of a snapshot in a heap
// of 300,000 objects, by a fork and in place, and the time of `expectNoGrowth`.

import { execFileSync, spawn } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';

const project = path.resolve(process.argv[2]);
const out = path.resolve(process.argv[3]);
const ROUNDS = Number(process.env.ROUNDS || 20);
const TURN_MS = Number(process.env.TURN_MS || 700);
const token = 'x'.repeat(32);
const scratch = fs.mkdtempSync(path.join(os.tmpdir(), 'heapsight-overhead-'));

const SERVER = `
const http = require('http');
if (process.env.HEAP_PROFILE) require('heap-profile').start();
const recent = [];
const server = http.createServer((request, response) => {
  const rows = [];
  for (let i = 0; i < 200; i++) rows.push({ id: i, name: 'row ' + i });
  recent.push(rows); if (recent.length > 50) recent.shift();
  response.end(JSON.stringify(rows.length));
});
server.keepAliveTimeout = 60000;
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
`;
fs.writeFileSync(path.join(project, 'overhead-server.cjs'), SERVER);

const register = ['--require', 'heapsight/register'];
const VARIANTS = {
  plain: { args: [], env: {} },
  'triggers that wait (signal, HTTP)': { args: register, env: { HEAPSIGHT_SIGNAL: 'SIGUSR2', HEAPSIGHT_HTTP: '0', HEAPSIGHT_TOKEN: token } },
  'sampling, 512 KiB (default)': { args: register, env: { HEAPSIGHT_SAMPLE_EVERY: '3600' } },
  'sampling, 32 KiB': { args: register, env: { HEAPSIGHT_SAMPLE_EVERY: '3600', HEAPSIGHT_SAMPLE_INTERVAL: '32768' } },
  'heap-profile, default': { args: [], env: { HEAP_PROFILE: '1' } },
};

function start({ args, env }) {
  const child = spawn(process.execPath, [...args, 'overhead-server.cjs'], {
    cwd: project,
    env: { ...process.env, HEAPSIGHT_DIR: scratch, ...env },
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  return new Promise((resolve) => child.stdout.once('data', (data) => resolve({ child, port: Number(data) })));
}

/** Processor time of a process, in seconds. */
function cpu(pid) {
  const stat = fs.readFileSync(`/proc/${pid}/stat`, 'latin1');
  const fields = stat.slice(stat.lastIndexOf(') ') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

const agent = new http.Agent({ keepAlive: true, maxSockets: 4 });
async function load(port, milliseconds) {
  const end = performance.now() + milliseconds;
  let requests = 0;
  const one = async () => {
    while (performance.now() < end) {
      await new Promise((resolve, reject) => {
        http.get({ port, host: '127.0.0.1', agent }, (response) => response.resume().on('end', resolve)).on('error', reject);
      });
      requests += 1;
    }
  };
  const begun = performance.now();
  await Promise.all([one(), one(), one(), one()]);
  return requests / ((performance.now() - begun) / 1000);
}

const median = (numbers) => [...numbers].sort((a, b) => a - b)[numbers.length >> 1];
/** Bounds of the median, by resampling with a fixed seed. */
function bounds(numbers) {
  let seed = 1;
  const random = () => (seed = (seed * 48271) % 2147483647) / 2147483647;
  const medians = [];
  for (let i = 0; i < 2000; i++) medians.push(median(numbers.map(() => numbers[Math.floor(random() * numbers.length)])));
  medians.sort((a, b) => a - b);
  return [medians[50], medians[1949]];
}

const servers = {};
for (const [name, variant] of Object.entries(VARIANTS)) servers[name] = await start(variant);
for (const { port } of Object.values(servers)) await load(port, 1500);
const raw = Object.fromEntries(Object.keys(VARIANTS).map((name) => [name, []]));
for (let round = 0; round < ROUNDS; round++) {
  const names = Object.keys(VARIANTS);
  if (round % 2) names.reverse();
  for (const name of names) {
    const { child, port } = servers[name];
    const before = cpu(child.pid);
    const rate = await load(port, TURN_MS);
    raw[name].push({ rate, cpu: cpu(child.pid) - before });
  }
}
for (const { child } of Object.values(servers)) child.kill();
agent.destroy();

const STALL = `
const { monitorEventLoopDelay } = require('perf_hooks');
const { writeHeapSnapshot } = require('heapsight');
const kept = globalThis.kept = []; for (let i = 0; i < 300000; i++) kept.push({ i, name: 'object ' + i });
(async () => {
  await new Promise((resolve) => setTimeout(resolve, 500));
  const delay = monitorEventLoopDelay({ resolution: 1 }); delay.enable();
  await new Promise((resolve) => setTimeout(resolve, 300)); delay.reset();
  const taken = await writeHeapSnapshot(process.argv[2], { method: process.argv[3], stableIds: process.argv[4] === 'ids', force: true });
  console.log(JSON.stringify({ ...taken, stallMs: delay.max / 1e6, rss: process.memoryUsage().rss }));
})();
`;
fs.writeFileSync(path.join(project, 'overhead-stall.cjs'), STALL);
const stalls = {};
for (const [name, args] of [['fork', ['fork']], ['fork, stable ids', ['fork', 'ids']], ['V8 in place', ['v8']]]) {
  stalls[name] = [1, 2, 3].map((i) => {
    const file = path.join(scratch, `${i}.heapsnapshot`);
    const printed = execFileSync(process.execPath, ['overhead-stall.cjs', file, ...args], { cwd: project, encoding: 'utf8' });
    fs.rmSync(file);
    return JSON.parse(printed);
  });
}

const GROWTH = `
const { expectNoGrowth } = require('heapsight');
(async () => {
  const times = [];
  for (let i = 0; i < 5; i++) {
    const begun = performance.now();
    await expectNoGrowth(() => JSON.parse(JSON.stringify({ a: [1, 2, 3], b: 'x'.repeat(100) })));
    times.push(performance.now() - begun);
  }
  console.log(JSON.stringify(times));
})();
`;
fs.writeFileSync(path.join(project, 'overhead-growth.cjs'), GROWTH);
const growth = JSON.parse(execFileSync(process.execPath, ['overhead-growth.cjs'], { cwd: project, encoding: 'utf8' }));
for (const name of ['server', 'stall', 'growth']) fs.rmSync(path.join(project, `overhead-${name}.cjs`));
fs.rmSync(scratch, { recursive: true });

const percent = (ratio) => `${ratio >= 1 ? '+' : ''}${((ratio - 1) * 100).toFixed(1)} %`;
const told = (ratios) => `${percent(median(ratios))} (${bounds(ratios).map(percent).join(' to ')})`;
const version = JSON.parse(fs.readFileSync(path.join(project, 'node_modules/heapsight/package.json'), 'utf8')).version;
const lines = [
  `# ${path.basename(out)}`,
  '',
  `${os.cpus()[0].model}, ${os.cpus().length} cores; Node.js ${process.version}, heapsight ${version}. \`benchsuite/npm/overhead.mjs\`.`,
  '',
  `A server that makes 200 objects and as many strings a request, 4 connections, ${ROUNDS} turns of ${TURN_MS} ms each; the plain one answers ${Math.round(median(raw.plain.map(({ rate }) => rate))).toLocaleString('en')} requests a second. Medians of the turns' ratios to the plain server's turn beside it, with what is right in 95 of 100 resamplings.`,
  '',
  '| | requests a second | processor time a request |',
  '| --- | ---: | ---: |',
];
for (const name of Object.keys(VARIANTS).slice(1)) {
  const rates = raw[name].map(({ rate }, i) => rate / raw.plain[i].rate);
  const work = ({ rate, cpu: time }) => time / rate;
  lines.push(`| ${name} | ${told(rates)} | ${told(raw[name].map((turn, i) => work(turn) / work(raw.plain[i])))} |`);
}
lines.push('', 'A snapshot of a program with 300,000 objects and as many strings, by `writeHeapSnapshot`, medians of 3:', '');
lines.push('| | longest stall of the event loop | took | nodes | resident afterwards |', '| --- | ---: | ---: | ---: | ---: |');
for (const [name, runs] of Object.entries(stalls)) {
  const of = (key) => median(runs.map((run) => run[key]));
  lines.push(`| ${name} | ${of('stallMs').toFixed(0)} ms | ${(of('durationMs') / 1000).toFixed(1)} s | ${of('nodes').toLocaleString('en')} | ${(of('rss') / 2 ** 20).toFixed(0)} MiB |`);
}
lines.push('', `\`expectNoGrowth\` of a function that parses JSON: ${growth.map((time) => time.toFixed(0)).join(', ')} ms.`, '');
fs.mkdirSync(out, { recursive: true });
fs.writeFileSync(path.join(out, 'README.md'), lines.join('\n'));
fs.writeFileSync(path.join(out, 'raw.json'), `${JSON.stringify({ raw, stalls, growth }, null, 1)}\n`);
console.log(lines.join('\n'));
