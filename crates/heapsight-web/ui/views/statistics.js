// Statistics: bytes by kind, by context, and what functions keep that nobody can use.
// @ts-check

import { ask } from '../api.js';
import { parts } from '../charts.js';
import { el, fill } from '../dom.js';
import { bytes, count, numberOf, percent } from '../format.js';
import { heading, wrong } from './common.js';

/** @param {import('../app.js').Context} context @returns {import('../app.js').View} */
export function statistics(context) {
  const element = el('div.page', null, el('p.quiet', null, 'Adding up…'));
  ask(`files/${context.file}/statistics`).then((all) => {
    const s = all.statistics;
    const heap = s.v8_heap;
    const other = Math.max(0, heap.total - heap.code - heap.strings - heap.js_arrays - heap.system);
    const native = Math.max(0, s.native.total - s.native.typed_arrays);
    const chart = parts([
      { label: 'Code', value: heap.code, tone: 0 },
      { label: 'Strings', value: heap.strings, tone: 1 },
      { label: 'JS arrays', value: heap.js_arrays, tone: 2 },
      { label: 'System objects', value: heap.system, tone: 3 },
      { label: 'Other JavaScript objects', value: other, tone: 4 },
      { label: 'Typed arrays', value: s.native.typed_arrays, tone: 5 },
      { label: 'Other native memory', value: native, tone: 6 },
    ], s.total, 'The heap by kind');
    const contexts = all.contexts.map((/** @type {any} */ one) => el('tr', null, el('th', { scope: 'row' }, one.name, el('span.id', null, ` @${one.id}`)), el('td', null, bytes(one.size)), el('td.dim', null, percent(one.size, all.total_size))));
    for (const [name, size] of [['Shared by several', all.shared_size], ['Of none', all.unattributed_size]]) {
      contexts.push(el('tr', null, el('th', { scope: 'row' }, name), el('td', null, bytes(size)), el('td.dim', null, percent(size, all.total_size))));
    }
    const dead = all.dead_variables;
    fill(element,
      el('h1', null, bytes(s.total)),
      el('p.lead', null, `${numberOf(all.nodes, 'object', 'objects')}, ${numberOf(all.edges, 'reference', 'references')}, ${numberOf(all.classes, 'class', 'classes')}`),
      chart,
      el('h2', null, 'By native context'), el('table.legend', null, el('tbody', null, contexts)),
      el('h2', null, 'Held by functions'),
      el('p', null, `${numberOf(all.held_by_functions.count, 'function context', 'function contexts')} alone keep ${bytes(all.held_by_functions.held_size)} in ${numberOf(all.held_by_functions.held_count, 'object', 'objects')} alive.`),
      dead ? variables(dead) : el('p.dim', null, 'The file does not record which variables functions use.'));
    /** @param {any} dead */
    function variables(dead) {
      if (dead.variables.length === 0) return el('p', null, 'No function keeps a variable that nothing can use any more.');
      return el('div', null, el('h3', null, `Variables that no function can use any more: ${count(dead.variable_count)}, keeping ${bytes(dead.kept_size)}`),
        el('div.wide', { tabindex: 0, role: 'region', 'aria-label': 'Dead variables' }, el('table.list', null, el('thead', null, el('tr', null, ['Variable', 'Function', '#Contexts', '#Retained size'].map(heading))),
          el('tbody', null, dead.variables.map((/** @type {any} */ one) => el('tr', null,
            el('td', null, el('a', { href: context.href('summary', { node: `@${one.context_id}` }) }, one.name)),
            el('td', null, one.function || '(top level)'), el('td.number', null, count(one.context_count)), el('td.number', null, bytes(one.retained_size))))))));
    }
  }, (error) => fill(element, wrong(error)));
  return { element };
}
