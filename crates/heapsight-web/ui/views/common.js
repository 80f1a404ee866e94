// What several views say in the same way.
// @ts-check

import { el, lines } from '../dom.js';
import { TreeGrid } from '../grid.js';

/** The heading of a column; those of numbers begin with a mark and stand above their digits. @param {string} name */
export function heading(name) {
  return name === '' ? el('td') : el(name.startsWith('#') ? 'th.number' : 'th', { scope: 'col' }, name.replace(/^#/, ''));
}

/** Something did not work. @param {unknown} error @returns {HTMLElement} */
export function wrong(error) {
  const hint = /** @type {any} */ (error)?.hint;
  return el('div.reading.wrong', { role: 'alert' }, el('p', null, lines(error instanceof Error ? error.message : String(error))), hint ? el('p.hint', null, hint) : null);
}

/**
 * A table of rows that are all there already, sorted here.
 * @param {string} label @param {import('../grid.js').Column[]} columns @param {() => Promise<import('../api.js').Row[]>} rows
 * @param {import('../grid.js').Sort} sort @param {Partial<import('../grid.js').Options>} [more]
 */
export function plainGrid(label, columns, rows, sort, more = {}) {
  /** @type {Promise<import('../api.js').Row[]> | null} */
  let all = null;
  const grid = new TreeGrid({
    label, columns, sort, empty: 'There is nothing.',
    load: async (_row, from, count, by) => {
      all ??= rows();
      const list = [...await all];
      const column = columns.find((one) => one.id === by.id);
      const value = (/** @type {import('../api.js').Row} */ row) => column?.value ? column.value(row) : row[by.id];
      list.sort((a, b) => {
        const [one, other] = [value(a), value(b)];
        const order = typeof one === 'number' && typeof other === 'number' ? one - other : String(one ?? '').localeCompare(String(other ?? ''));
        return by.dir === 'asc' ? order : -order;
      });
      return { total: list.length, rows: list.slice(from, from + count) };
    },
    ...more,
  });
  return {
    grid,
    again: () => {
      all = null;
      grid.reload();
    },
  };
}
