// Packages: whose memory it is, by npm package or by file.
// @ts-check

import { ask } from '../api.js';
import { el, fill } from '../dom.js';
import { bytes } from '../format.js';
import { plainGrid } from './common.js';

/** @param {import('../app.js').Context} context @returns {import('../app.js').View} */
export function packages(context) {
  const { params } = context;
  let files = params.get('by') === 'file';
  let whole = 0;
  /** @type {ReturnType<typeof plainGrid> | null} */
  let made = null;
  const total = el('span.sum', { role: 'status' });
  const buttons = [['By package', false], ['By file', true]].map(([name, value]) => el('button', { type: 'button', onclick: () => {
    files = value === true;
    context.set({ by: files ? 'file' : null });
    draw();
  } }, String(name)));
  const element = el('div.view');
  function draw() {
    made?.grid.dispose();
    buttons.forEach((button, at) => button.setAttribute('aria-pressed', String(files === (at === 1))));
    const name = (/** @type {import('../api.js').Row} */ row) => row.package ?? (row.attributed ? '(program)' : '(nobody)');
    /** @type {import('../grid.js').Column[]} */
    const columns = [
      { id: 'name', title: 'Package', kind: 'tree', show: (row) => el(row.attributed ? 'span' : 'span.dim', null, files && row.file ? row.file : name(row)), value: (row) => files ? row.file ?? '' : name(row) },
      { id: 'count', title: 'Objects', kind: 'count', width: 92, from: 460 },
      { id: 'self_size', title: 'Size', kind: 'bytes', width: 150, whole: () => whole },
      { id: 'retained_size', title: 'Retained size', kind: 'bytes', width: 160, from: 420, whole: () => whole },
    ];
    if (files) columns.splice(1, 0, { id: 'package', title: 'Package', kind: 'text', width: 160, from: 700, show: name });
    made = plainGrid('Memory by package', columns, async () => {
      const answer = await ask(`files/${context.file}/packages`, { files });
      whole = answer.total_size;
      const nobody = answer[files ? 'files' : 'packages'].filter((/** @type {any} */ row) => !row.attributed).reduce((/** @type {number} */ sum, /** @type {any} */ row) => sum + row.self_size, 0);
      fill(total, `${bytes(whole - nobody)} of ${bytes(whole)} have a file; each byte is counted once`);
      return answer[files ? 'files' : 'packages'];
    }, { id: 'self_size', dir: 'desc' });
    fill(element, el('div.toolbar', null, el('div.choice', { role: 'group', 'aria-label': 'One row for each' }, buttons), total), made.grid.element);
  }
  draw();
  return { element, dispose: () => made?.grid.dispose() };
}
