// Search: by name, @id or regular expression; and queries.
// @ts-check

import { ask } from '../api.js';
import { el, fill } from '../dom.js';
import { bytes, numberOf } from '../format.js';
import { TreeGrid } from '../grid.js';
import { plainGrid } from './common.js';
import { withPane } from './pane.js';
import { objectColumns } from './summary.js';

/** Whether a text is a query and no name. @param {string} text */
export function isQuery(text) {
  return /(^|\s)(==|!=|<=|>=|<|>|~|in\s*\(|group\s+by|order\s+by|where|select\s)/.test(text) && !/^\/.*\/$/.test(text);
}

/**
 * How wide a column is, and from which width of the table on it is shown. What has words grows; what others say nearly as
 * well goes where it is narrow.
 * @param {string} name @param {string[]} all
 */
function room(name, all) {
  const grow = all.length === 1 ? 1 : 0;
  switch (name) {
    case 'id': return { width: 100, grow };
    case 'name': return { width: 130, grow: 3, from: all.includes('class') ? 600 : 0 };
    case 'file': return { width: 130, grow: 3 };
    case 'class': case 'package': return { width: 120, grow: 2 };
    case 'distance': return { width: 90, grow, from: grow ? 0 : 640 };
    case 'self_size': return { width: 120, grow, from: all.includes('retained_size') ? 480 : 0 };
    default: return { width: 120, grow };
  }
}

/** @param {import('../app.js').Context} context @returns {import('../app.js').View} */
export function search(context) {
  const { file, params } = context;
  const input = /** @type {HTMLInputElement} */ (el('input.long', {
    type: 'search', 'aria-label': 'Name, @id, /regex/ or query', 'data-filter': true, value: params.get('text') ?? '',
    placeholder: 'session   @4711   /^Bearer /   class == "Map" and retained > 1MB',
  }));
  const form = el('form.toolbar', { role: 'search', 'aria-label': 'In this snapshot', onsubmit: (/** @type {Event} */ event) => {
    event.preventDefault();
    context.set({ text: input.value.trim(), node: null });
    draw();
  } }, input, el('button.primary', { type: 'submit' }, 'Search'));
  const total = el('p.note', { role: 'status' });
  const body = el('div.view');
  /** @type {TreeGrid | null} */
  let grid = null;
  function draw() {
    grid?.dispose();
    grid = null;
    const text = input.value.trim();
    fill(total);
    fill(body, form, total);
    if (text === '') {
      fill(total, 'Names are parts of what is shown, in any case; /…/ is a regular expression, @4711 an object. A query has fields and conditions: class, name, type, self, retained, distance, detached, edges, package, file.');
    } else if (isQuery(text)) void query(text);
    else names(text);
  }
  /** @param {unknown} error */
  function said(error) {
    const hint = /** @type {any} */ (error)?.hint;
    fill(total, el('pre.wrong', null, error instanceof Error ? error.message : String(error)), hint ?? '');
  }
  /** @param {string} text */
  function names(text) {
    grid = new TreeGrid({
      label: 'Objects that were found',
      columns: objectColumns(() => context.about()?.total_size ?? 0, 'Object'),
      sort: { id: 'retained', dir: 'desc' },
      empty: 'Nothing was found.',
      load: (row, from, count, sort) => row
        ? ask(`files/${file}/fields`, { ord: row.ord, from, count })
        : ask(`files/${file}/search`, { text, from, count, sort: sort.id, dir: sort.dir }),
      opens: (row) => row.children > 0,
      onselect: (row) => pane.show(row),
      onload: (answer) => {
        fill(total, `${numberOf(answer.total, 'object', 'objects')}, shallow size ${bytes(answer.self_size ?? 0)}`);
        const row = answer.rows[0];
        if (answer.total === 1 && row) pane.show(row);
      },
      onfail: said,
    });
    body.append(grid.element);
  }
  /** @param {string} text */
  async function query(text) {
    fill(total, 'Asking…');
    try {
      const answer = await ask(`files/${file}/query`, { text });
      const sizes = ['self_size', 'retained_size'];
      const names = answer.columns.map((/** @type {any} */ column) => column.name);
      /** @type {import('../grid.js').Column[]} */
      const columns = answer.columns.map((/** @type {any} */ column, /** @type {number} */ at) => ({
        id: column.name, title: column.title, ...room(column.name, names), ...(at === 0 ? { from: 0 } : {}),
        kind: at === 0 ? 'tree' : sizes.includes(column.name) ? 'bytes' : column.name === 'distance' ? 'distance' : /count/.test(column.name) ? 'count' : 'text',
        show: at === 0 || !/size|count|distance/.test(column.name) ? (/** @type {any} */ row) => {
          const value = row[column.name];
          if (column.name === 'id') return `@${value}`;
          return value === null || value === undefined ? (['package', 'file'].includes(column.name) ? '(nobody)' : '') : value === true ? 'yes' : value === false ? 'no' : String(value);
        } : undefined,
      }));
      const made = plainGrid('Answer', columns, () => Promise.resolve(answer.rows), { id: '', dir: 'asc' }, {
        empty: 'Nothing fits.',
        onselect: (row) => {
          if (row.object_id !== undefined) pane.show({ id: row.object_id });
        },
      });
      grid = made.grid;
      fill(total, `${numberOf(answer.count, 'object', 'objects')}${answer.group_count === null ? '' : ` in ${numberOf(answer.group_count, 'group', 'groups')}`}, shallow size ${bytes(answer.self_size)}${answer.rows.length < (answer.group_count ?? answer.count) ? `; the first ${answer.rows.length} are shown (limit N shows more)` : ''}`);
      body.append(grid.element);
    } catch (error) {
      said(error);
    }
  }
  const pane = withPane(context, body);
  draw();
  const node = params.get('node');
  if (node) pane.show({ id: Number(node.replace('@', '')) });
  return { element: pane.element, dispose: () => { grid?.dispose(); pane.dispose(); }, focus: () => input.select() };
}
