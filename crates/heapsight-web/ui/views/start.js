// Start: files, processes that can be captured, what is being captured.
// @ts-check

import { address, ask, listen, tell } from '../api.js';
import { bars } from '../charts.js';
import { el, fill } from '../dom.js';
import { ago, bytes, numberOf, time } from '../format.js';
import { heading, wrong } from './common.js';
import { verdict } from './hunt.js';

/** @typedef {import('../api.js').File} File */
/** @typedef {Record<string, any>} Job */

/** @param {import('../app.js').Context} context @returns {import('../app.js').View} */
export function start(context) {
  const { session } = context;
  const files = el('div');
  const jobs = el('div');
  const list = el('div');
  const plan = el('div');
  /** @type {(() => void)[]} */
  const ears = [];
  let over = false;

  const input = /** @type {HTMLInputElement} */ (el('input', { type: 'file', class: 'sr', tabindex: -1, 'aria-label': 'A file to open', multiple: true, onchange: () => {
    for (const file of input.files ?? []) void send(file);
  } }));
  const drop = el('div.drop', null,
    el('p', null, el('strong', null, 'Drop a file here'), ' or ', el('button', { type: 'button', onclick: () => input.click() }, 'choose one'), input),
    el('p.dim', null, 'Snapshots, timelines and profiles, also .gz and .zst. They stay on this machine.'));
  const sent = el('div', { role: 'status' });

  /** @param {globalThis.File} file */
  function send(file) {
    const bar = el('progress', { max: 1, value: 0, 'aria-label': `Sending ${file.name}` });
    const line = el('p.sending', null, `${file.name} `, bar);
    sent.append(line);
    const request = new XMLHttpRequest();
    request.open('POST', address('files', { name: file.name }));
    request.upload.addEventListener('progress', (event) => {
      if (event.lengthComputable) bar.setAttribute('value', String(event.loaded / event.total));
    });
    request.addEventListener('loadend', async () => {
      const answer = (() => {
        try {
          return JSON.parse(request.responseText);
        } catch {
          return {};
        }
      })();
      if (request.status !== 200) {
        fill(line, el('span.wrong', null, `${file.name}: ${answer.error?.what ?? 'it could not be sent'}`));
        return;
      }
      await context.refresh();
      context.go('', {}, answer.id);
    });
    request.send(file);
  }
  /** @param {DragEvent} event */
  function over_page(event) {
    event.preventDefault();
    drop.classList.add('over');
  }
  function left() {
    drop.classList.remove('over');
  }
  /** @param {DragEvent} event */
  function dropped(event) {
    event.preventDefault();
    left();
    for (const file of event.dataTransfer?.files ?? []) void send(file);
  }
  document.addEventListener('dragover', over_page);
  document.addEventListener('dragleave', left);
  document.addEventListener('drop', dropped);

  function drawFiles() {
    if (session.files.length === 0) {
      fill(files);
      return;
    }
    fill(files, el('div.wide', null, el('table.list.files', null,
      el('thead', null, el('tr', null, ['File', '#Size', 'Written', ''].map(heading))),
      el('tbody', null, session.files.map((/** @type {File} */ file) => el('tr', null,
        el('td', null, el('a', { href: `/f/${file.id}/`, title: file.path }, file.name), file.gone ? el('span.badge', null, 'gone') : null),
        el('td.number', null, file.size === null ? '' : bytes(file.size)),
        el('td', null, file.modified_ms ? ago(file.modified_ms) : ''),
        el('td.dim', null, file.kind, ['dropped', 'captured'].includes(file.origin) ? `, ${file.origin}` : file.origin === 'recent' ? ', opened before' : '',
          file.state === 'open' ? ', in memory' : file.state === 'failed' ? ', cannot be opened' : '')))))));
  }

  async function processes() {
    try {
      const answer = await ask('processes');
      if (over) return;
      if (answer.processes.length === 0) {
        fill(list, el('p', null, 'No V8 process is running that can be looked at.'), unseen(answer));
        return;
      }
      fill(list, el('div.wide', null, el('table.list.processes', null,
        el('thead', null, el('tr', null, ['#PID', 'Runtime', 'Command', '#Heap', '#Resident', ''].map(heading))),
        el('tbody', null, answer.processes.map((/** @type {any} */ one) => el('tr', null,
          el('td.number', null, one.pid), el('td', null, `${one.runtime} ${one.version ?? ''}`),
          el('td.command', { title: one.command }, one.command),
          el('td.number', null, one.heap_size === null ? '' : bytes(one.heap_size)),
          el('td.number', null, bytes(one.resident_size)),
          el('td', null, session.read_only ? '' : el('button', { type: 'button', onclick: () => void choose(String(one.pid)), disabled: !one.methods.some((/** @type {any} */ m) => m.works) }, 'Capture…'))))))),
        unseen(answer));
    } catch (error) {
      if (!over) fill(list, wrong(error));
    }
  }

  /** Why processes are missing. @param {{unreadable: number, root: boolean}} answer */
  function unseen(answer) {
    if (answer.unreadable === 0) return null;
    const one = answer.unreadable === 1;
    const what = numberOf(answer.unreadable, 'process', 'processes');
    return el('p.dim', null, answer.root ? `${what} ${one ? 'was' : 'were'} not looked at: with more rights than root has here.`
      : `${what} of ${one ? 'another user was' : 'other users were'} not looked at: heapsight that is run as root sees all.`);
  }

  /** What can be done with a target, and what it would cost. @param {string} target */
  async function choose(target) {
    fill(plan, el('p.quiet', null, 'Looking…'));
    plan.scrollIntoView({ block: 'nearest' });
    let answer;
    try {
      answer = await ask('plan', { target });
    } catch (error) {
      fill(plan, wrong(error));
      return;
    }
    if (over) return;
    const methods = answer.methods.filter((/** @type {any} */ m) => m.method !== 'signal');
    const method = el('select', { 'aria-label': 'Method' },
      el('option', { value: '' }, answer.chosen ? `best: ${answer.chosen}` : 'best'),
      methods.filter((/** @type {any} */ m) => !m.obstacle).map((/** @type {any} */ m) => el('option', { value: m.method }, m.method)));
    const seconds = number('Seconds', 10, 1);
    const interval = number('one sample in so many bytes', 32_768, 1);
    const rounds = number('Rounds', 3, 1);
    const url = /** @type {HTMLInputElement} */ (el('input', { type: 'url', placeholder: 'http://localhost:3000/', 'aria-label': 'URL of a round', size: 28 }));
    const requests = number('Requests', 1000, 1);
    const body = () => ({ target });
    fill(plan, el('section.card', { 'aria-label': `Capture ${target}` },
      el('header', null, el('h2', null, `Capture ${/^\d+$/.test(target) ? `process ${target}` : target}`), el('button.plain', { type: 'button', 'aria-label': 'Close', onclick: () => fill(plan) }, '✕')),
      el('p.dim.command-line', { title: answer.process?.command }, answer.process?.command ?? ''),
      el('div.wide', null, el('table.list', null,
        el('thead', null, el('tr', null, ['Snapshot by', '#Stops for', '#Extra memory', '#File', 'Verdict', ''].map(heading))),
        el('tbody', null, methods.map((/** @type {any} */ m) => el('tr', null,
          el('th', { scope: 'row' }, m.method, m.method === answer.chosen ? ' ✓' : ''),
          el('td.number', null, m.pause_ms === undefined ? '' : time(m.pause_ms)), el('td.number', null, m.memory === undefined ? '' : bytes(m.memory)),
          el('td.number', null, m.file === undefined ? '' : bytes(m.file)), el('td', null, m.obstacle ? 'no' : (m.verdict ?? 'fine')),
          el('td.dim', null, m.obstacle ?? (m.reasons ?? []).join('; '))))))),
      el('div.actions', null,
        el('div', null, el('button.primary', { type: 'button', onclick: () => void begin({ ...body(), kind: 'snapshot', method: /** @type {HTMLSelectElement} */ (method).value }) }, 'Take snapshot'), method),
        el('div', null, el('button', { type: 'button', onclick: () => void begin({ ...body(), kind: 'timeline' }) }, 'Record timeline'), el('span.dim', null, 'until you stop it; slows the program some ten times')),
        el('div', null, el('button', { type: 'button', onclick: () => void begin({ ...body(), kind: 'sample', seconds: Number(seconds.input.value), interval: Number(interval.input.value) }) }, 'Sample'), seconds.label, interval.label, el('span.dim', null, 'ends by itself after these seconds, or when you stop it')),
        el('div', null, el('button', { type: 'button', onclick: () => void begin({ ...body(), kind: 'hunt', rounds: Number(rounds.input.value), url: url.value || undefined, requests: Number(requests.input.value) }) }, 'Hunt for leaks'), rounds.label, url, requests.label, el('span.dim', null, 'without a URL you do the work of each round yourself'))),
      el('p.dim', null, `Captures are kept in ${session.folder ?? '.'}; those of a hunt go when the server ends.`)));
    plan.scrollIntoView({ block: 'nearest' });
  }

  /** @param {string} name @param {number} value @param {number} min */
  function number(name, value, min) {
    const input = /** @type {HTMLInputElement} */ (el('input', { type: 'number', value, min, class: 'few' }));
    return { input, label: el('label', null, name, input) };
  }

  /** @param {Record<string, unknown>} wanted */
  async function begin(wanted) {
    try {
      watch(await tell('jobs', wanted));
      fill(plan);
      jobs.scrollIntoView({ block: 'nearest' });
    } catch (error) {
      plan.prepend(wrong(error));
    }
  }

  /** @type {Map<number, HTMLElement>} */
  const cards = new Map();
  /** @param {Job} job */
  function watch(job) {
    let card = cards.get(job.id);
    if (!card) {
      card = el('article.card.job');
      cards.set(job.id, card);
      jobs.prepend(card);
    }
    drawJob(card, job);
  }

  /** @param {HTMLElement} card @param {Job} job */
  function drawJob(card, job) {
    const names = { snapshot: 'Snapshot', timeline: 'Timeline', sample: 'Sampling profile', hunt: 'Leak hunt' };
    const name = names[/** @type {keyof typeof names} */ (job.kind)];
    const head = el('header', null, el('h2', null, `${name} of ${/^\d+$/.test(job.target) ? `process ${job.target}` : job.target}`), el('span.size', null, job.state === 'running' ? time(job.elapsed_ms) : job.state));
    const notes = job.notes.length > 0 ? el('ul.notes', null, job.notes.map((/** @type {string} */ note) => el('li', null, note))) : null;
    if (job.state === 'failed') {
      fill(card, head, el('p.wrong', null, job.what), job.hint ? el('p.hint', null, job.hint) : null, notes);
      return;
    }
    if (job.state === 'done') {
      const file = job.files[0];
      fill(card, head, notes, job.kind === 'hunt' ? verdict(context, job) : el('p', null,
        el('a.button.primary', { href: `/f/${file}/` }, 'Open it'), ' ', el('span.dim', null, `${job.result.path}, ${bytes(job.result.bytes)}${job.result.pause_ms === null ? '' : `; the program stood still for ${time(job.result.pause_ms)}`}`)));
      return;
    }
    const last = job.points[job.points.length - 1];
    const records = job.kind === 'timeline' || job.kind === 'sample';
    fill(card, head,
      el('p', { role: 'status' }, [job.step, job.doing].filter(Boolean).join(': ') || 'beginning', job.bytes > 0 ? `, ${bytes(job.bytes)}` : '',
        last ? `; alive: ${numberOf(last[2], 'object', 'objects')}, ${bytes(last[1])}` : ''),
      last ? el('div.live', null, bars(job.points.slice(-60).map((/** @type {number[]} */ p) => p[1] ?? 0), 'Bytes alive', bytes)) : null,
      notes,
      el('div.buttons', null,
        job.waits ? el('button.primary', { type: 'button', onclick: () => void tell(`jobs/${job.id}/next`) }, 'The work of this round is done') : null,
        el('button', { type: 'button', disabled: job.stopping, onclick: () => void tell(`jobs/${job.id}/stop`) }, job.stopping ? 'Stopping…' : records ? 'Stop and keep' : 'Call off')));
  }

  const other = /** @type {HTMLInputElement} */ (el('input', { type: 'text', placeholder: 'PID, HOST:PORT or ws://', 'aria-label': 'Another target' }));
  const element = el('div.page', null,
    el('h1', null, 'Files'), files, drop, sent,
    jobs,
    el('h1.second', null, 'Processes of this machine'),
    session.read_only ? el('p.dim', null, 'They are only listed: this page was started with --read-only.') : null,
    list,
    session.read_only ? null : el('form.actions', { onsubmit: (/** @type {Event} */ event) => {
      event.preventDefault();
      if (other.value.trim()) void choose(other.value.trim());
    } }, el('div', null, other, el('button', { type: 'submit' }, 'Capture…'), el('button', { type: 'button', onclick: () => void processes() }, 'Look again'))),
    plan);
  fill(list, el('p.quiet', null, 'Looking…'));
  drawFiles();
  void context.refresh().then(() => over || drawFiles());
  void processes();
  ears.push(listen('jobs/events', (news) => {
    news.jobs.forEach(watch);
    if (news.jobs.some((/** @type {Job} */ job) => job.state === 'done')) void context.refresh().then(() => over || drawFiles());
    return true;
  }));
  const wanted = context.params.get('target') ?? session.target;
  if (wanted && !session.read_only) void choose(wanted);
  return { element, dispose: () => {
    over = true;
    ears.forEach((end) => end());
    document.removeEventListener('dragover', over_page);
    document.removeEventListener('dragleave', left);
    document.removeEventListener('drop', dropped);
  } };
}
