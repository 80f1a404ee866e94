// What is said of the object that is selected, below any view: who holds it, the way to it as a story, all of it.
// @ts-check

import { ask } from '../api.js';
import { el, fill, lines, settled } from '../dom.js';
import { bytes, count, distance } from '../format.js';
import { TreeGrid } from '../grid.js';
import { object, objectColumns, placeLink } from './summary.js';

/** @typedef {import('../api.js').Row} Row */
/** @typedef {import('../app.js').Context} Context */

const TABS = /** @type {const} */ ([['retainers', 'Retainers'], ['story', 'Story'], ['object', 'Object']]);

/**
 * A view with the pane below it.
 * @param {Context} context @param {HTMLElement} view
 */
export function withPane(context, view) {
  const { file } = context;
  /** @type {Row | null} */
  let shown = null;
  /** @type {{id: number, label: string}[]} */
  let ignored = [];
  let tab = context.params.get('pane') ?? 'retainers';
  let generation = 0;
  let over = false;
  /** @type {TreeGrid | null} */
  let grid = null;
  const title = el('div.pane-title');
  const tabs = el('div.pane-tabs', { role: 'tablist', 'aria-label': 'About the selected object', onkeydown: turn });
  const body = el('div.pane-body', { role: 'tabpanel', 'aria-label': 'About the selected object' });
  const pane = el('section.pane', { 'aria-label': 'Selected object' }, el('div.pane-head', null, tabs, title), body);
  const split = el('div.split', { role: 'separator', tabindex: 0, 'aria-label': 'Height of the lower part', 'aria-orientation': 'horizontal', 'aria-valuenow': 38, 'aria-valuemin': 10, 'aria-valuemax': 85, onkeydown: nudge, onpointerdown: drag });
  const element = el('div.with-pane', null, view, split, pane);
  size(Number(sessionStorage.getItem('pane') ?? 38));

  /** @param {number} percent */
  function size(percent) {
    const height = Math.min(85, Math.max(10, percent));
    element.style.setProperty('--pane', `${height}%`);
    split.setAttribute('aria-valuenow', String(Math.round(height)));
    sessionStorage.setItem('pane', String(height));
  }
  /** @param {KeyboardEvent} event */
  function nudge(event) {
    if (event.key !== 'ArrowUp' && event.key !== 'ArrowDown') return;
    event.preventDefault();
    size(Number(split.getAttribute('aria-valuenow')) + (event.key === 'ArrowUp' ? 5 : -5));
  }
  /** @param {PointerEvent} event */
  function drag(event) {
    event.preventDefault();
    split.setPointerCapture(event.pointerId);
    const move = (/** @type {PointerEvent} */ e) => {
      const box = element.getBoundingClientRect();
      size(((box.bottom - e.clientY) * 100) / box.height);
    };
    split.addEventListener('pointermove', move);
    split.addEventListener('lostpointercapture', () => split.removeEventListener('pointermove', move), { once: true });
  }
  /** @param {KeyboardEvent} event */
  function turn(event) {
    if (event.key !== 'ArrowLeft' && event.key !== 'ArrowRight') return;
    event.preventDefault();
    const at = TABS.findIndex(([id]) => id === tab);
    const next = TABS[(at + (event.key === 'ArrowRight' ? 1 : TABS.length - 1)) % TABS.length];
    if (next) choose(next[0]);
    /** @type {HTMLElement | null} */ (tabs.querySelector('[aria-selected=true]'))?.focus();
  }

  function drawTabs() {
    fill(tabs, TABS.map(([id, name]) => el('button', {
      type: 'button', role: 'tab', 'aria-selected': String(id === tab), tabindex: id === tab ? 0 : -1, onclick: () => choose(id),
    }, name)));
  }
  /** @param {string} id */
  function choose(id) {
    tab = id;
    context.set({ pane: id === 'retainers' ? null : id });
    draw();
  }
  /** Which object is asked about. */
  function named() {
    return shown?.ord === undefined ? { id: shown?.id } : { ord: shown.ord };
  }

  function draw() {
    generation += 1;
    const mine = generation;
    drawTabs();
    grid?.dispose();
    grid = null;
    if (!shown) {
      fill(title);
      fill(body, el('p.quiet', null, 'Select an object to see what keeps it alive.'));
      return;
    }
    if (shown.value !== undefined) fill(title, object({ ...shown, edge: undefined }));
    else {
      fill(title, `@${shown.id}`);
      ask(`files/${file}/object`, named()).then((row) => {
        if (mine !== generation) return;
        shown = row;
        fill(title, object(row));
      }, () => {});
    }
    if (tab === 'story') void story(mine);
    else if (tab === 'object') void all(mine);
    else retainers();
  }

  function retainers() {
    const ignore = ignored.map((one) => one.id).join(',');
    const whole = () => context.about()?.total_size ?? 0;
    const columns = objectColumns(whole, 'Object').map((column) => ({ ...column, fixed: true }));
    const first = /** @type {import('../grid.js').Column} */ (columns[0]);
    first.show = (row) => {
      const what = object({ ...row, holds: true });
      what.append(el('button.small', { type: 'button', tabindex: -1, title: 'Show what else holds it, as if this did not', onclick: () => {
        ignored = [...ignored, { id: row.id, label: row.value }];
        draw();
      } }, 'ignore'));
      return what;
    };
    const top = el('div.chips');
    const made = new TreeGrid({
      label: 'Retainers', columns, sort: { id: 'distance', dir: 'asc' },
      empty: () => ignored.length > 0 ? 'Nothing else holds it: without the ignored objects it would be freed.' : 'Nothing holds it but weak references, or V8 itself.',
      load: (row, from, size) => ask(`files/${file}/retainers`, { ...(row ? { ord: row.ord } : named()), from, count: size, ignore }),
      opens: (row) => row.children > 0 && row.distance !== 0,
      onopen: (row) => show(row),
    });
    grid = made;
    if (ignored.length > 0) {
      fill(top, 'Ignored: ', ignored.map((one) => el('button.chip', { type: 'button', title: 'Count it again', onclick: () => {
        ignored = ignored.filter((other) => other.id !== one.id);
        draw();
      } }, `${one.label} @${one.id} ✕`)));
    }
    fill(body, ignored.length > 0 ? top : null, made.element);
    void made.unfold(6, (row) => row.distance <= 1);
  }

  /** @param {number} mine */
  async function story(mine) {
    fill(body, el('p.quiet', null, 'Finding the way…'));
    try {
      const [told, ways] = await Promise.all([
        ask(`files/${file}/story`, named()),
        ask(`files/${file}/paths`, { ...named(), ignore: ignored.map((one) => one.id).join(','), count: 5 }),
      ]);
      if (mine !== generation) return;
      const hops = told.story.map((/** @type {any} */ hop) => hop.library
        ? el('li.library', null, `… ${count(hop.count)} steps in ${hop.library}`) : el('li', null, hop.text));
      const way = el('ol.way', null, told.way.map((/** @type {Row} */ step) => el(step.inside ? 'li.inside' : 'li', null,
        step.by ? el('span.edge', null, `${step.by} :: `) : null, link(step), ' ', placeLink(step.place))));
      const paths = ways.paths.map((/** @type {Row[]} */ path, /** @type {number} */ at) => el('details', { open: at === 0 && ways.paths.length === 1 },
        el('summary', null, `Path ${at + 1}: ${count(path.length - 1)} steps`),
        el('ol.way', null, path.map((step) => el('li', null,
          step.edge ? el('span.edge', null, `${step.type === 'element' ? `[${step.edge}]` : step.edge} :: `) : null, link({ ...step, value: step.name || step.class }), ' ', placeLink(step.location))))));
      fill(body, el('div.reading', null, el('h2', null, 'Kept alive by'), el('ol.story', null, hops),
        el('details', null, el('summary', null, `The whole way: ${count(told.way.length)} steps`), way),
        el('h2', null, 'Shortest paths from the roots'),
        ways.paths.length > 0 ? paths : el('p', null, 'There is none: nothing but weak references leads to it.')));
    } catch (error) {
      if (mine === generation) fill(body, wrong(error));
    }
  }

  /** @param {Row} row */
  function link(row) {
    return el('button.link', { type: 'button', onclick: () => show({ id: row.id }) }, row.value, el('span.id', null, ` @${row.id}`));
  }

  /** @param {number} mine */
  async function all(mine) {
    fill(body, el('p.quiet', null, 'Looking…'));
    try {
      const row = await ask(`files/${file}/object`, named());
      if (mine !== generation) return;
      const whole = context.about()?.total_size ?? 0;
      const facts = [
        ['Class', el('a', { href: context.href('summary', { class: row.class }) }, row.class)],
        ['Type', row.type],
        ['Shallow size', bytes(row.self_size)],
        ['Retained size', bytes(row.retained_size)],
        ['Distance', distance(row.distance)],
        row.place ? ['Source', placeLink(row.place)] : null,
        row.package ? ['Package', row.package] : null,
        row.detached ? ['Page', 'detached: not in the page any more'] : null,
      ];
      const list = el('dl.facts', null, facts.flatMap((fact) => fact ? [el('dt', null, fact[0] ?? ''), el('dd', null, fact[1] ?? '')] : []));
      const made = new TreeGrid({
        label: 'Fields', columns: objectColumns(() => whole, 'Field'), sort: { id: 'name', dir: 'asc' }, empty: 'It has no fields.',
        load: (below, from, size, sort) => ask(`files/${file}/fields`, { ord: below ? below.ord : row.ord, from, count: size, sort: sort.id, dir: sort.dir }),
        opens: (below) => below.children > 0,
        onopen: (below) => show(below),
      });
      grid = made;
      const text = typeof row.text === 'string' ? el('div', null, el('h2', null, `Text, ${count(row.text_length)} characters`), el('pre.text', { tabindex: 0 }, row.text)) : null;
      const chain = el('details', null, el('summary', null, `Dominated by ${count(row.dominator_count)} objects`),
        el('ol.way', null, row.dominators.map((/** @type {Row} */ one) => el('li', null, link(one), el('span.dim', null, ` retains ${bytes(one.retained_size)}`)))));
      const stack = row.allocation_stack.length > 0 ? el('div', null, el('h2', null, 'Allocated in'), el('ol.way', null, row.allocation_stack.map((/** @type {string} */ frame) => el('li', null, frame)))) : null;
      fill(body, el('div.object-view', null, el('div.side', null, list, stack, chain, text), made.element));
    } catch (error) {
      if (mine === generation) fill(body, wrong(error));
    }
  }

  /** @param {unknown} error */
  function wrong(error) {
    const hint = /** @type {any} */ (error)?.hint;
    return el('div.reading.wrong', null, el('p', null, lines(error instanceof Error ? error.message : String(error))), hint ? el('p.hint', null, hint) : null);
  }

  const soon = settled(() => {
    if (!over) draw();
  }, 150);
  /** @param {Row} row an object: its row, or its id alone */
  function show(row) {
    if (shown && shown.id === row.id && shown.ord === row.ord) return;
    shown = row;
    ignored = [];
    context.set({ node: `@${row.id}` });
    element.classList.add('has-object');
    // Whoever walks through rows, or opens one, is not kept waiting for what is said of each.
    soon();
  }
  draw();
  return { element, show, dispose: () => { over = true; generation += 1; grid?.dispose(); } };
}
