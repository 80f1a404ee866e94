// Containment: what refers to what, from the roots on.
// @ts-check

import { ask } from '../api.js';
import { el } from '../dom.js';
import { TreeGrid } from '../grid.js';
import { withPane } from './pane.js';
import { objectColumns } from './summary.js';

/** @param {import('../app.js').Context} context @returns {import('../app.js').View} */
export function containment(context) {
  const { file, params } = context;
  const grid = new TreeGrid({
    label: 'Containment',
    columns: objectColumns(() => context.about()?.total_size ?? 0, 'Object'),
    sort: { id: params.get('sort') ?? 'retained', dir: params.get('dir') === 'asc' ? 'asc' : 'desc' },
    empty: 'The root refers to nothing.',
    load: (row, from, count, sort) =>
      ask(`files/${file}/fields`, { ord: row?.ord, from, count, sort: sort.id, dir: sort.dir }),
    opens: (row) => row.children > 0,
    onselect: (row) => pane.show(row),
    onsort: (sort) => context.set({ sort: sort.id, dir: sort.dir }),
  });
  const pane = withPane(context, el('div.view', null, grid.element));
  const node = params.get('node');
  if (node) pane.show({ id: Number(node.replace('@', '')) });
  return { element: pane.element, dispose: () => { grid.dispose(); pane.dispose(); } };
}
