// Dominators: what keeps how much alive, as a tree and as a map that can be zoomed.
// @ts-check

import { ask } from '../api.js';
import { treemap } from '../charts.js';
import { el, fill } from '../dom.js';
import { bytes, numberOf, percent } from '../format.js';
import { TreeGrid } from '../grid.js';
import { withPane } from './pane.js';
import { objectColumns } from './summary.js';

/** @param {import('../app.js').Context} context @returns {import('../app.js').View} */
export function dominators(context) {
  const { file, params } = context;
  let shape = params.get('as') === 'map' ? 'map' : 'tree';
  let grouped = params.get('group') !== 'no';
  const whole = () => context.about()?.total_size ?? 0;
  /** @type {TreeGrid | null} */
  let grid = null;
  /** @type {(() => void) | null} */
  let end = null;
  const body = el('div.view');
  const asTree = el('button', { type: 'button', onclick: () => choose('tree') }, 'Tree');
  const asMap = el('button', { type: 'button', onclick: () => choose('map') }, 'Map');
  const classes = /** @type {HTMLInputElement} */ (el('input', { type: 'checkbox', checked: grouped, onchange: () => {
    grouped = classes.checked;
    context.set({ group: grouped ? null : 'no' });
    draw();
  } }));
  const label = el('label', null, classes, 'put objects of one class together');
  const crumbs = el('nav.crumbs', { 'aria-label': 'Where the map is' });
  const bar = el('div.toolbar', null, el('div.choice', { role: 'group', 'aria-label': 'Shown as' }, asTree, asMap), label, crumbs);

  /** @param {string} next */
  function choose(next) {
    shape = next;
    context.set({ as: shape === 'map' ? 'map' : null });
    draw();
  }
  function draw() {
    grid?.dispose();
    grid = null;
    end?.();
    end = null;
    asTree.setAttribute('aria-pressed', String(shape === 'tree'));
    asMap.setAttribute('aria-pressed', String(shape === 'map'));
    label.hidden = crumbs.hidden = shape === 'tree';
    if (shape === 'tree') {
      grid = new TreeGrid({
        label: 'Dominators',
        columns: objectColumns(whole, 'Object'),
        sort: { id: params.get('sort') ?? 'retained', dir: params.get('dir') === 'asc' ? 'asc' : 'desc' },
        empty: 'The root dominates nothing.',
        load: (row, from, count, sort) => ask(`files/${file}/dominators`, { ord: row?.ord, from, count, sort: sort.id, dir: sort.dir }),
        opens: (row) => row.children > 0,
        onselect: (row) => pane.show(row),
        onsort: (sort) => context.set({ sort: sort.id, dir: sort.dir }),
      });
      fill(body, bar, grid.element);
      return;
    }
    const map = el('div.map-place');
    fill(body, bar, map);
    end = treemap(map, {
      load: (id) => ask(`files/${file}/treemap`, { id, by_class: grouped }),
      label: (cell) => `${cell.count > 1 ? `${cell.class} ×${cell.count}` : cell.label}`,
      about: (cell) => `${cell.count > 1 ? numberOf(cell.count, 'object', 'objects') + ' of ' + cell.class : `${cell.label} @${cell.id}`}: retains ${bytes(cell.retained_size)}, ${percent(cell.retained_size, whole())} of the heap`,
      where: (path, go) => fill(crumbs, path.map((cell, at) => at === path.length - 1
        ? el('span', { 'aria-current': 'location' }, at === 0 ? 'whole heap' : cell.label)
        : el('button.link', { type: 'button', onclick: () => go(at) }, at === 0 ? 'whole heap' : cell.label))),
      choose: (cell) => pane.show({ id: cell.id }),
      start: params.get('at'),
      moved: (id) => context.set({ at: id }),
    });
  }
  const pane = withPane(context, body);
  draw();
  const node = params.get('node');
  if (node) pane.show({ id: Number(node.replace('@', '')) });
  return { element: pane.element, dispose: () => { grid?.dispose(); end?.(); pane.dispose(); } };
}
