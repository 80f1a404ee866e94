// Timeline: what was allocated when, and what of it is alive; a part is brushed, its classes and stacks stand below.
// @ts-check

import { ask } from '../api.js';
import { el, fill, settled, svg } from '../dom.js';
import { bytes, numberOf, percent } from '../format.js';
import { plainGrid, wrong } from './common.js';

const HEIGHT = 150;

/** @param {import('../app.js').Context} context @returns {import('../app.js').View} */
export function timeline(context) {
  const { file, params } = context;
  const element = el('div.view.scrolls', null, el('p.quiet', null, 'Reading the recording…'));
  /** @type {{dispose: () => void} | null} */
  let grid = null;
  /** @type {ResizeObserver | null} */
  let size = null;
  let over = false;
  ask(`files/${file}/timeline`).then((all) => {
    if (!over) show(all);
  }, (error) => fill(element, wrong(error)));

  /** @param {any} all */
  function show(all) {
    const long = Math.max(1, all.duration_us);
    let from = Number(params.get('from') ?? 0);
    let to = Number(params.get('to') ?? long);
    const chart = el('div.timeline', { role: 'group', 'aria-label': 'What was allocated, and what of it is alive' });
    const told = el('p.note', { role: 'status' });
    const below = el('div.halves');
    const [first, second] = [slider('From', () => from, (value) => { from = Math.min(value, to); }), slider('To', () => to, (value) => { to = Math.max(value, from); })];

    /** @param {string} name @param {() => number} get @param {(value: number) => void} put */
    function slider(name, get, put) {
      const input = /** @type {HTMLInputElement} */ (el('input', { type: 'range', min: 0, max: long, step: Math.max(1, Math.round(long / 400)), 'aria-label': name, oninput: () => {
        put(Number(input.value));
        draw();
        changed();
      } }));
      return { input, set: () => {
        input.value = String(get());
        input.setAttribute('aria-valuetext', seconds(get()));
      } };
    }

    function draw() {
      first.set();
      second.set();
      const width = Math.max(100, chart.clientWidth);
      const columns = Math.max(10, Math.floor(width / 6));
      const sums = Array.from({ length: columns }, () => ({ live: 0, all: 0 }));
      for (const one of all.intervals) {
        const at = Math.min(columns - 1, Math.floor((one.to_us / long) * columns));
        const sum = /** @type {{live: number, all: number}} */ (sums[at]);
        sum.live += one.live_size;
        // Of what is gone only the number is known: it is drawn as large as what is alive is on average.
        sum.all += one.allocated_count;
      }
      const each = all.live_count > 0 ? all.live_size / all.live_count : 0;
      const most = Math.max(1, ...sums.map((sum) => Math.max(sum.live, sum.all * each)));
      const step = width / columns;
      const picture = svg('svg', { width, height: HEIGHT, role: 'img', 'aria-label': all.summary });
      sums.forEach((sum, at) => {
        const gone = Math.min(HEIGHT - 4, (Math.max(sum.all * each, sum.live) / most) * (HEIGHT - 4));
        const live = (sum.live / most) * (HEIGHT - 4);
        if (gone > 0) picture.append(svg('rect.gone', { x: at * step + 1, y: HEIGHT - gone, width: Math.max(1, step - 2), height: gone }));
        if (live > 0) picture.append(svg('rect.alive', { x: at * step + 1, y: HEIGHT - live, width: Math.max(1, step - 2), height: live }));
      });
      picture.append(svg('rect.brush', { x: (from / long) * width, y: 0, width: Math.max(2, ((to - from) / long) * width), height: HEIGHT }));
      fill(chart, picture);
    }
    const changed = settled(() => {
      context.set({ from: from > 0 ? Math.round(from) : null, to: to < long ? Math.round(to) : null });
      void load();
    }, 200);
    chart.addEventListener('pointerdown', (event) => {
      const box = chart.getBoundingClientRect();
      const at = (/** @type {PointerEvent} */ e) => Math.min(long, Math.max(0, ((e.clientX - box.left) / box.width) * long));
      const began = at(event);
      chart.setPointerCapture(event.pointerId);
      const move = (/** @type {PointerEvent} */ e) => {
        [from, to] = [Math.min(began, at(e)), Math.max(began, at(e))];
        draw();
      };
      const end = () => {
        chart.removeEventListener('pointermove', move);
        // A click shows all again.
        if (to - from < long / 200) [from, to] = [0, long];
        draw();
        changed();
      };
      chart.addEventListener('pointermove', move);
      chart.addEventListener('pointerup', end, { once: true });
    });
    let asked = 0;
    async function load() {
      const mine = (asked += 1);
      const part = await ask(`files/${file}/timeline/alive`, { from_us: Math.round(from), to_us: Math.round(to) }).catch((error) => {
        fill(told, error instanceof Error ? error.message : '');
        return null;
      });
      if (!part || mine !== asked || over) return;
      fill(told, `${seconds(from)} to ${seconds(to)}: ${numberOf(part.live_count, 'object', 'objects')} alive, ${bytes(part.live_size)} in ${numberOf(part.class_count, 'class', 'classes')} `,
        part.filter ? el('a', { href: context.href('summary', { filter: part.filter }) }, 'in the Summary') : '');
      grid?.dispose();
      const classes = plainGrid('Classes that are alive', [
        { id: 'name', title: 'Constructor', kind: 'tree', show: (row) => el('span.class', null, row.name) },
        { id: 'count', title: 'Objects', kind: 'count', width: 90 },
        { id: 'self_size', title: 'Shallow size', kind: 'bytes', width: 150, whole: () => part.live_size },
        { id: 'retained_size', title: 'Retained size', kind: 'bytes', width: 130, from: 560 },
      ], () => Promise.resolve(part.classes), { id: 'self_size', dir: 'desc' }, {
        empty: 'Nothing of it is alive.',
        onopen: (row) => context.go('summary', { class: row.name, filter: part.filter }),
      });
      grid = classes.grid;
      fill(below, classes.grid.element, el('div.stacks', { tabindex: 0, role: 'region', 'aria-label': 'Stacks that allocated it' }, el('h2', null, 'Allocated in'),
        part.stacks.length === 0 ? el('p.dim', null, 'The recording has no stacks, or nothing of it is alive.') : part.stacks.map((/** @type {any} */ stack) => el('details', null,
          el('summary', null, el('strong', null, bytes(stack.live_size)), ` ${percent(stack.live_size, part.live_size)} `, el('code', null, name(stack.frames[0])), el('span.dim', null, ` ${numberOf(stack.live_count, 'object', 'objects')}`)),
          el('ol.way', null, stack.frames.map((/** @type {any} */ frame) => el('li', null, el('code', null, name(frame)), ' ', el('span.dim', null, frame.script_name ? `${frame.script_name}:${frame.line + 1}:${frame.column + 1}` : ''))))))));
    }
    fill(element, el('div.timeline-head', null, el('p.lead', null, all.summary), chart,
      el('div.sliders', null, el('label', null, 'From', first.input), el('label', null, 'To', second.input),
        el('button', { type: 'button', onclick: () => { [from, to] = [0, long]; draw(); changed(); } }, 'All')),
      el('p.dim.legend-line', null, el('span.dot.live-dot', { 'aria-hidden': 'true' }), 'alive ', el('span.dot.gone-dot', { 'aria-hidden': 'true' }), 'gone, estimated by number')), told, below);
    size = new ResizeObserver(draw);
    size.observe(chart);
    void load();
  }
  /** @param {any} frame */
  function name(frame) {
    return frame ? frame.name || '(anonymous)' : '(unknown)';
  }
  /** @param {number} us */
  function seconds(us) {
    return `${(us / 1e6).toFixed(2)} s`;
  }
  return { element, dispose: () => {
    over = true;
    grid?.dispose();
    size?.disconnect();
  } };
}
