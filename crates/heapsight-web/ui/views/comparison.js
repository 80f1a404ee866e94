// Comparison: what is new and what went since another snapshot.
// @ts-check

import { ask } from '../api.js';
import { el, fill, settled } from '../dom.js';
import { count, signedBytes, signedCount } from '../format.js';
import { TreeGrid } from '../grid.js';
import { withPane } from './pane.js';
import { object } from './summary.js';

/** @typedef {import('../api.js').Row} Row */

/** @param {import('../app.js').Context} context @returns {import('../app.js').View} */
export function comparison(context) {
  const { file, params } = context;
  const others = context.session.files.filter((one) => one.id !== file && one.kind !== 'profile');
  if (others.length === 0) {
    return { element: el('section.notice', null, el('h1', null, 'Nothing to compare with'),
      el('p', null, 'A comparison needs a second snapshot of the same process: drop one on the start page, take one there, or start with both, older first: heapsight open before.heapsnapshot after.heapsnapshot'),
      el('div.buttons', null, el('a.button.primary', { href: '/' }, 'Start page'))) };
  }
  const wanted = params.get('base');
  // The one before it, as a series is given.
  const before = others.filter((one) => one.id < file).pop() ?? others[0];
  const base = /** @type {HTMLSelectElement} */ (el('select', { 'aria-label': 'Compared with', onchange: () => {
    context.set({ base: base.value, node: null });
    grid.reload();
  } }, others.map((one) => el('option', { value: one.id, selected: String(one.id) === (wanted ?? String(before?.id)) }, `since ${one.name}`))));
  const text = /** @type {HTMLInputElement} */ (el('input', {
    type: 'search', placeholder: 'Class filter', 'aria-label': 'Class filter', 'data-filter': true, value: params.get('class') ?? '',
    oninput: settled(() => { context.set({ class: text.value }); grid.reload(); }, 120),
  }));
  const total = el('span.sum', { role: 'status' });
  const note = el('p.note', { hidden: true });
  const grid = new TreeGrid({
    label: 'Classes that changed',
    columns: [
      { id: 'name', title: 'Constructor', kind: 'tree', show: (row) => row.added_count !== undefined ? el('span.class', null, row.label) : marked(row) },
      { id: 'new', title: '# New', kind: 'count', width: 82, from: 700, value: (row) => row.added_count },
      { id: 'deleted', title: '# Deleted', kind: 'count', width: 90, from: 700, value: (row) => row.removed_count },
      { id: 'delta', title: '# Delta', kind: 'signed-count', width: 84, from: 400, value: (row) => row.count_delta },
      { id: 'alloc', title: 'Alloc. size', kind: 'bytes', width: 100, from: 860, value: (row) => row.added_count === undefined ? (row.added ? row.self_size : null) : row.added_size },
      { id: 'freed', title: 'Freed size', kind: 'bytes', width: 100, from: 860, value: (row) => row.added_count === undefined ? (row.added ? null : row.self_size) : row.removed_size },
      { id: 'size', title: 'Size delta', kind: 'signed-bytes', width: 104, value: (row) => row.size_delta },
    ],
    sort: { id: params.get('sort') ?? 'size', dir: params.get('dir') === 'asc' ? 'asc' : 'desc' },
    empty: 'Nothing has changed.',
    load: (row, from, size, sort) => {
      if (!row) return ask(`files/${file}/compare/${base.value}`, { class: text.value, from, count: size, sort: sort.id, dir: sort.dir });
      if (row.key !== undefined) return ask(`files/${file}/compare/${base.value}/objects`, { class: row.key, from, count: size });
      return ask(`files/${row.added === false ? base.value : file}/fields`, { ord: row.ord, from, count: size })
        .then((answer) => ({ ...answer, rows: answer.rows.map((/** @type {Row} */ one) => ({ ...one, added: row.added, below: true })) }));
    },
    opens: (row) => row.children > 0,
    onselect: (row) => {
      // What went is in the other file.
      if (row.key === undefined && row.added !== false) pane.show(row);
    },
    onopen: (row) => {
      if (row.added === false) context.go('summary', { node: `@${row.id}` }, Number(base.value));
    },
    onsort: (sort) => context.set({ sort: sort.id, dir: sort.dir }),
    onload: (answer) => {
      fill(total, `${count(answer.total)} classes changed, ${signedCount(answer.count_delta)} objects, ${signedBytes(answer.size_delta)}`);
      note.hidden = answer.ids_comparable;
      fill(note, 'The object ids of these two do not fit together: what is called new or deleted here is not. They are of different processes, or were taken one by one; a hunt for leaks, or heapsight snapshot --stable-ids --repeat 2, takes some whose ids do.');
    },
    onfail: (error) => fill(total, error instanceof Error ? error.message : ''),
  });
  const pane = withPane(context, el('div.view', null, el('div.toolbar', null, base, text, total), note, grid.element));
  return { element: pane.element, dispose: () => { grid.dispose(); pane.dispose(); } };
}

/** @param {Row} row */
function marked(row) {
  const what = object(row);
  if (!row.below) what.prepend(el(row.added ? 'span.mark.new' : 'span.mark.gone', { title: row.added ? 'new' : 'went' }, row.added ? '+ ' : '− '));
  return what;
}
