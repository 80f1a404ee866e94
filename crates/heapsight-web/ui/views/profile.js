// Profiles: flame graph, table, difference, series.
// @ts-check

import { ask } from '../api.js';
import { bars } from '../charts.js';
import { el, fill, lines, settled } from '../dom.js';
import { bytes, estimate, numberOf, percent, plusMinus, signedBytes } from '../format.js';
import { flame, frames } from '../flame.js';
import { plainGrid, wrong } from './common.js';
import { placeLink } from './summary.js';

/** @typedef {import('../app.js').Context} Context */
/** @typedef {import('../app.js').View} View */
/** @typedef {import('../api.js').Row} Row */
/** @typedef {import('../grid.js').Column} Column */

/** @param {Context} context @param {(by: string) => void} change @param {string} by */
function grouping(context, change, by) {
  const select = /** @type {HTMLSelectElement} */ (el('select', { 'aria-label': 'One row for each', onchange: () => {
    context.set({ by: select.value === 'function' ? null : select.value });
    change(select.value);
  } }, [['function', 'by function'], ['file', 'by file'], ['package', 'by package']].map(([value, name]) => el('option', { value, selected: value === by }, name ?? ''))));
  return select;
}

/** @param {Row} row */
function called(row) {
  if (row.package !== undefined) return el('span', null, row.package);
  if (row.name === undefined) return el('span', { title: row.url }, row.url || '(no file)');
  return el('span.what', { title: row.url }, el('span.class', null, row.name || '(anonymous)'), ' ', row.url ? placeLink({ url: row.url, line: row.line ?? 1, column: row.column ?? 1, package: null }) ?? '' : '');
}

/** @param {Context} context @returns {View} */
export function flameView(context) {
  const { file, params } = context;
  let by = params.get('by') ?? 'function';
  const body = el('div.view');
  const said = el('span.sum', { role: 'status' });
  /** @type {ReturnType<typeof flame> | null} */
  let graph = null;
  let summary = '';
  let whole = 0;
  const inverted = /** @type {HTMLInputElement} */ (el('input', { type: 'checkbox', checked: params.get('inverted') === '1', onchange: () => {
    context.set({ inverted: inverted.checked ? 1 : null });
    void draw();
  } }));
  const text = /** @type {HTMLInputElement} */ (el('input', { type: 'search', placeholder: 'Mark functions', 'aria-label': 'Mark functions', 'data-filter': true, value: params.get('mark') ?? '', oninput: settled(mark, 120) }));
  const reset = el('button', { type: 'button', hidden: true, onclick: () => graph?.reset() }, 'Whole graph');
  const bar = el('div.toolbar', null, text, grouping(context, (next) => { by = next; void draw(); }, by), el('label', null, inverted, 'inverted'), reset, said);
  const element = el('div.view', null, bar, body);

  function mark() {
    context.set({ mark: text.value });
    const wanted = text.value.trim().toLowerCase();
    const found = graph?.search(wanted === '' ? null : (frame) => frame.name.toLowerCase().includes(wanted) || frame.url.toLowerCase().includes(wanted)) ?? null;
    fill(said, found ? `${numberOf(found.number, 'frame', 'frames')}, ${estimate(found.size, found.error)} (${percent(found.size, whole)})` : lines(summary));
  }
  async function draw() {
    try {
      const answer = await ask(`files/${file}/flame`, { by, inverted: inverted.checked });
      graph?.dispose();
      ({ summary } = answer);
      whole = answer.total_size;
      graph = flame(frames(answer.frames), { zoomed: (frame) => { reset.hidden = frame === null; }, colour: (frame) => by === 'package' ? frame.name : frame.package || frame.name });
      fill(body, whole > 0 ? graph.element : el('p.quiet', null, 'Nothing was sampled.'),
        answer.narrow + answer.deep > 0 ? el('p.note', null, `${numberOf(answer.narrow + answer.deep, 'frame is', 'frames are')} too narrow or too deep to be drawn.`) : null);
      mark();
    } catch (error) {
      fill(body, wrong(error));
    }
  }
  void draw();
  return { element, dispose: () => graph?.dispose() };
}

/** @param {Context} context @returns {View} */
export function tableView(context) {
  const { file, params } = context;
  let by = params.get('by') ?? 'function';
  let whole = 0;
  const said = el('span.sum', { role: 'status' });
  const plural = () => by === 'function' ? 'functions' : by === 'file' ? 'files' : 'packages';
  const made = plainGrid('Functions', [
    { id: 'name', title: 'Function', kind: 'tree', show: called, value: (row) => row.name ?? row.url ?? row.package },
    { id: 'self_size', title: 'Self size', kind: 'bytes', width: 150, whole: () => whole, error: (row) => row.self_error },
    { id: 'self_error', title: '±', kind: 'count', width: 76, from: 560, hint: 'Standard error of the self size', show: (row) => plusMinus(row.self_error), value: (row) => row.self_error ?? 0 },
    { id: 'total_size', title: 'Total size', kind: 'bytes', width: 150, whole: () => whole, error: (row) => row.total_error },
  ], async () => {
    const answer = await ask(`files/${file}/table`, { by });
    whole = answer.total_size;
    fill(said, lines(answer.summary));
    return answer[plural()];
  }, { id: 'self_size', dir: 'desc' });
  const element = el('div.view', null, el('div.toolbar', null, grouping(context, (next) => { by = next; made.again(); }, by), said), made.grid.element);
  return { element, dispose: () => made.grid.dispose() };
}

/** @param {Context} context @returns {View} */
export function changesView(context) {
  const { file, params } = context;
  const others = context.session.files.filter((one) => one.kind === 'profile' && one.id !== file);
  const first = others[0];
  if (!first) {
    return { element: el('section.notice', null, el('h1', null, 'Nothing to compare with'), el('p', null, 'Drop another profile on the start page, or start with both: heapsight open before.heapprofile after.heapprofile'), el('div.buttons', null, el('a.button.primary', { href: '/' }, 'Start page'))) };
  }
  let by = params.get('by') ?? 'function';
  const said = el('span.sum', { role: 'status' });
  const base = /** @type {HTMLSelectElement} */ (el('select', { 'aria-label': 'Compared with', onchange: () => {
    context.set({ base: base.value });
    made.again();
  } }, others.map((one) => el('option', { value: one.id, selected: params.get('base') === String(one.id) }, `since ${one.name}`))));
  const plural = () => by === 'function' ? 'functions' : by === 'file' ? 'files' : 'packages';
  const made = plainGrid('Differences', [
    { id: 'name', title: 'Function', kind: 'tree', show: called, value: (row) => row.name ?? row.url ?? row.package },
    { id: 'self_size_before', title: 'Before', kind: 'bytes', width: 100, from: 620, error: (row) => row.self_error_before },
    { id: 'self_size_after', title: 'After', kind: 'bytes', width: 100, from: 620, error: (row) => row.self_error_after },
    { id: 'self_size_delta', title: 'Self delta', kind: 'signed-bytes', width: 110 },
    { id: 'total_size_delta', title: 'Total delta', kind: 'signed-bytes', width: 110, from: 480 },
    { id: 'certain', title: 'Beyond chance', kind: 'text', width: 110, from: 760, hint: 'More than sampling explains', show: (row) => row.certain === null ? '' : row.certain ? 'yes' : 'no' },
  ], async () => {
    const answer = await ask(`files/${file}/changes/${base.value}`, { by });
    fill(said, `${signedBytes(answer.size_delta)} in all`);
    return answer[plural()];
  }, { id: 'self_size_delta', dir: 'desc' });
  const element = el('div.view', null, el('div.toolbar', null, base, grouping(context, (next) => { by = next; made.again(); }, by), said), made.grid.element);
  return { element, dispose: () => made.grid.dispose() };
}

/** @param {Context} context @returns {View} */
export function seriesView(context) {
  const profiles = context.session.files.filter((one) => one.kind === 'profile');
  if (profiles.length < 2) {
    return { element: el('section.notice', null, el('h1', null, 'A series has several profiles'), el('p', null, 'Start with all of them, oldest first: heapsight open *.heapprofile'), el('div.buttons', null, el('a.button.primary', { href: '/' }, 'Start page'))) };
  }
  let by = context.params.get('by') ?? 'function';
  const said = el('span.sum', { role: 'status' });
  const plural = () => by === 'function' ? 'functions' : by === 'file' ? 'files' : 'packages';
  const made = plainGrid('Growth over the series', [
    { id: 'name', title: 'Function', kind: 'tree', show: called, value: (row) => row.name ?? row.url ?? row.package },
    { id: 'series', title: 'Self size', kind: 'text', width: 40 + Math.min(20, profiles.length) * 14, from: 420, fixed: true, show: (row) => bars(row.self_sizes, 'Self size', bytes) },
    { id: 'slope', title: 'Each time', kind: 'signed-bytes', width: 110 },
    { id: 'grows_steadily', title: 'Grows', kind: 'text', width: 80, from: 560, show: (row) => row.grows_steadily ? 'steadily' : '' },
  ], async () => {
    const answer = await ask('trends', { by, files: profiles.map((one) => one.id).join(',') });
    fill(said, `${numberOf(profiles.length, 'profile', 'profiles')}: ${answer.totals.map(bytes).join(', ')}`);
    return answer[plural()];
  }, { id: 'slope', dir: 'desc' });
  const element = el('div.view', null, el('div.toolbar', null, grouping(context, (next) => { by = next; made.again(); }, by), said), made.grid.element);
  return { element, dispose: () => made.grid.dispose() };
}
