// Summary: the classes, their objects, and the fields of these.
// @ts-check

import { ask } from '../api.js';
import { el, fill, settled } from '../dom.js';
import { bytes, count, numberOf } from '../format.js';
import { TreeGrid } from '../grid.js';
import { withPane } from './pane.js';

/** @typedef {import('../api.js').Row} Row */
/** @typedef {import('../app.js').Context} Context */
/** @typedef {import('../app.js').View} View */
/** @typedef {import('../grid.js').Sort} Sort */
/** @typedef {import('../grid.js').Column} Column */

/**
 * A place in the code, as a link that an editor can take.
 * @param {import('../api.js').Place | undefined} place
 */
export function placeLink(place) {
  if (!place) return null;
  const name = place.url.split('/').pop() || place.url;
  const path = place.url.replace(/^file:\/\//, '');
  const text = `${name}:${place.line}`;
  const title = `${path}:${place.line}:${place.column}`;
  if (!path.startsWith('/')) return el('span.place', { title }, text);
  return el('a.place', { href: `vscode://file${encodeURI(path)}:${place.line}:${place.column}`, title: `${title} (opens the editor)`, tabindex: -1 }, text);
}

/** An object as a tree shows it: `field :: Class @id`. @param {Row} row @returns {HTMLElement} */
export function object(row) {
  const parts = [];
  if (row.edge) {
    const kind = row.edge.type;
    const name = kind === 'element' || kind === 'hidden' ? `[${row.edge.name}]` : row.edge.name || '""';
    parts.push(el(`span.edge.${kind}`, { title: `${kind}${row.edge.weak_map ? ', entry of a WeakMap' : ''}` }, name), el('span.dim', null, row.holds ? ' in ' : ' :: '));
  }
  parts.push(el(`span.object.${String(row.type).replace(/\W+/g, '-')}`, null, row.value));
  if (row.detached) parts.push(el('span.badge', { title: 'not in the page any more' }, 'detached'));
  parts.push(el('span.id', null, ` @${row.id}`));
  if (row.place) parts.push(' ', placeLink(row.place) ?? '');
  return el('span.what', { title: `${row.type}, class ${row.class}` }, parts);
}

/** The columns that objects have. @param {() => number} whole @param {string} title @returns {Column[]} */
export function objectColumns(whole, title) {
  return [
    { id: 'name', title, kind: 'tree', show: object },
    { id: 'distance', title: 'Distance', kind: 'distance', width: 84, from: 560, hint: 'References on the shortest way from the roots' },
    { id: 'shallow', title: 'Shallow size', kind: 'bytes', width: 150, from: 480, value: (row) => row.self_size, whole, hint: 'Bytes of the objects themselves' },
    { id: 'retained', title: 'Retained size', kind: 'bytes', width: 160, value: (row) => row.retained_size, whole, hint: 'Bytes that would be freed with them' },
  ];
}

/** @param {Context} context @returns {View} */
export function summary(context) {
  const { params, file } = context;
  let whole = context.about()?.total_size ?? 0;
  const total = el('span.sum', { role: 'status' });
  const filter = el('select', { 'aria-label': 'Which objects', onchange: () => change({ filter: /** @type {HTMLSelectElement} */ (filter).value }) },
    el('option', { value: '' }, 'All objects'),
    context.session.filters.map((one) => el('option', { value: one.name, selected: params.get('filter') === one.name }, one.what)));
  const text = /** @type {HTMLInputElement} */ (el('input', {
    type: 'search', placeholder: 'Class filter', 'aria-label': 'Class filter', 'data-filter': true,
    title: 'A part of the name, or /regex/', value: params.get('class') ?? '',
    oninput: settled(() => change({ class: text.value }), 120),
  }));
  const asked = () => ({ class: text.value, filter: /** @type {HTMLSelectElement} */ (filter).value });
  const columns = objectColumns(() => whole, 'Constructor');
  columns.splice(2, 0, { id: 'count', title: 'Objects', kind: 'count', width: 92, from: 420 });
  const first = /** @type {Column} */ (columns[0]);
  first.show = (row) => row.key === undefined ? object(row) : el('span.what', null, el('span.class', null, row.label ?? row.name));
  const grid = new TreeGrid({
    label: 'Classes',
    columns,
    sort: { id: params.get('sort') ?? 'retained', dir: params.get('dir') === 'asc' ? 'asc' : 'desc' },
    empty: 'No class matches.',
    load: (row, from, size, sort) => {
      const page = { from, count: size, sort: sort.id, dir: sort.dir };
      if (!row) return ask(`files/${file}/summary`, { ...asked(), ...page });
      if (row.key !== undefined) {
        return ask(`files/${file}/instances`, { ...page, class: row.key, filter: asked().filter });
      }
      return ask(`files/${file}/fields`, { ...page, ord: row.ord });
    },
    opens: (row) => row.children > 0,
    onselect: (row) => {
      if (row.key === undefined) pane.show(row);
    },
    onsort: (sort) => context.set({ sort: sort.id, dir: sort.dir }),
    onload: (answer) => {
      if (whole !== answer.total_size) {
        whole = answer.total_size;
        grid.redraw();
      }
      const some = answer.total === answer.of ? '' : ` of ${count(answer.of)}`;
      fill(total, `${count(answer.total)}${some} classes, ${numberOf(answer.objects, 'object', 'objects')}, ${bytes(answer.self_size)}`);
    },
    onfail: (error) => fill(total, error instanceof Error ? error.message : ''),
  });
  /** @param {import('../api.js').Params} change */
  function change(change) {
    context.set(change);
    grid.reload();
  }
  const bar = el('div.toolbar', null, text, filter, total);
  const pane = withPane(context, el('div.view', null, bar, grid.element));
  const node = params.get('node');
  if (node) pane.show({ id: Number(node.replace('@', '')) });
  return { element: pane.element, dispose: () => { grid.dispose(); pane.dispose(); } };
}
