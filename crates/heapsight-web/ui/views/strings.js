// Strings: equal ones, and the largest.
// @ts-check

import { ask } from '../api.js';
import { el, fill, settled } from '../dom.js';
import { bytes, count, numberOf, quoted } from '../format.js';
import { TreeGrid } from '../grid.js';
import { withPane } from './pane.js';
import { objectColumns } from './summary.js';

/** @param {import('../app.js').Context} context @returns {import('../app.js').View} */
export function strings(context) {
  const { file, params } = context;
  let equal = params.get('show') !== 'largest';
  const whole = () => context.about()?.total_size ?? 0;
  /** @type {TreeGrid | null} */
  let grid = null;
  const total = el('span.sum', { role: 'status' });
  const text = /** @type {HTMLInputElement} */ (el('input', {
    type: 'search', placeholder: 'Text filter', 'aria-label': 'Text filter', 'data-filter': true, value: params.get('text') ?? '', title: 'A part of the text, or /regex/',
    oninput: settled(() => { context.set({ text: text.value }); grid?.reload(); }, 150),
  }));
  const buttons = [['Duplicates', true], ['Largest', false]].map(([name, value]) => el('button', { type: 'button', onclick: () => {
    equal = value === true;
    context.set({ show: equal ? null : 'largest' });
    draw();
  } }, String(name)));
  const bar = el('div.toolbar', null, el('div.choice', { role: 'group', 'aria-label': 'Which strings' }, buttons), text, total);
  const body = el('div.view');
  function draw() {
    grid?.dispose();
    buttons.forEach((button, at) => button.setAttribute('aria-pressed', String(equal === (at === 0))));
    /** @type {import('../grid.js').Column[]} */
    const groups = [
      { id: 'value', title: 'Value', kind: 'tree', fixed: true, show: (row) => el('span.object.string', null, quoted(row.value)) },
      { id: 'count', title: 'Objects', kind: 'count', width: 92, fixed: true },
      { id: 'self_size', title: 'Shallow size', kind: 'bytes', width: 150, from: 520, fixed: true, whole },
      { id: 'retained_size', title: 'Retained size', kind: 'bytes', width: 160, fixed: true, whole },
    ];
    grid = new TreeGrid({
      label: equal ? 'Equal strings' : 'The largest strings',
      columns: equal ? groups : objectColumns(whole, 'String').map((column) => ({ ...column, fixed: true })),
      sort: { id: equal ? 'retained_size' : 'shallow', dir: 'desc' },
      empty: equal ? 'No string occurs more than once.' : 'No string matches.',
      load: (row, from, size) => row
        ? ask(`files/${file}/search`, { text: `/^${row.value.replace(/[.*+?^${}()|[\]\\/]/g, '\\$&').replace(/\n/g, '\\n').replace(/\r/g, '\\r')}${row.value.length >= 200 ? '' : '$'}/`, from, count: size })
        : ask(`files/${file}/strings`, { duplicates: equal, pattern: text.value, from, count: size }),
      opens: (row) => row.ord === undefined,
      onselect: (row) => {
        if (row.ord !== undefined) pane.show(row);
      },
      onload: (answer) => fill(total, equal
        ? `${numberOf(answer.total, 'value', 'values')} more than once: ${count(answer.strings)} strings, ${bytes(answer.wasted)} could be saved`
        : `${numberOf(answer.total, 'string', 'strings')}, ${bytes(answer.self_size)}`),
      onfail: (error) => fill(total, error instanceof Error ? error.message : ''),
    });
    fill(body, bar, grid.element);
  }
  const pane = withPane(context, body);
  draw();
  return { element: pane.element, dispose: () => { grid?.dispose(); pane.dispose(); } };
}
