// Pictures: a map of areas that can be zoomed, bars, a bar of parts.
// @ts-check

import { el, fill, svg } from './dom.js';
import { bytes, percent } from './format.js';

/** @typedef {{id: number, label: string, class: string, count: number, retained_size: number, self_size: number,
 *   more: number, more_count: number, children: Cell[]}} Cell */
/**
 * @typedef {object} MapOptions
 * @property {(id: number | null) => Promise<Cell>} load
 * @property {(cell: Cell) => string} label
 * @property {(cell: Cell) => string} about
 * @property {(path: Cell[], go: (at: number) => void) => void} where
 * @property {(cell: Cell) => void} choose
 * @property {string | null} start
 * @property {(id: number | null) => void} moved
 */

/** Areas of values side by side, as square as they can be (Bruls, Huizing, van Wijk: squarified treemaps).
 * @param {number[]} values falling @param {number} x @param {number} y @param {number} w @param {number} h
 * @returns {{x: number, y: number, w: number, h: number}[]} */
export function squarify(values, x, y, w, h) {
  const areas = [];
  const sum = values.reduce((a, b) => a + b, 0);
  if (sum <= 0 || w <= 0 || h <= 0) return values.map(() => ({ x, y, w: 0, h: 0 }));
  const scale = (w * h) / sum;
  let at = 0;
  while (at < values.length) {
    const side = Math.min(w, h);
    let end = at;
    let row = 0;
    let worst = Infinity;
    while (end < values.length) {
      const next = row + (values[end] ?? 0) * scale;
      const first = (values[at] ?? 0) * scale;
      const last = (values[end] ?? 0) * scale;
      const bad = Math.max((side * side * first) / (next * next), (next * next) / (side * side * Math.max(last, 1e-9)));
      if (bad > worst) break;
      worst = bad;
      row = next;
      end += 1;
    }
    const thick = side > 0 ? row / side : 0;
    let along = 0;
    for (; at < end; at += 1) {
      const length = thick > 0 ? ((values[at] ?? 0) * scale) / thick : 0;
      areas.push(w >= h ? { x, y: y + along, w: thick, h: length } : { x: x + along, y, w: length, h: thick });
      along += length;
    }
    if (w >= h) {
      x += thick;
      w -= thick;
    } else {
      y += thick;
      h -= thick;
    }
  }
  return areas;
}

/** A colour that stays with a name. @param {string} text @returns {number} one of eight */
export function shade(text) {
  let hash = 0;
  for (let at = 0; at < text.length; at += 1) hash = (hash * 31 + text.charCodeAt(at)) >>> 0;
  return hash % 8;
}

/**
 * A map of what retains how much.
 * @param {HTMLElement} place @param {MapOptions} options
 * @returns {() => void} ends it
 */
export function treemap(place, options) {
  /** @type {Cell[]} */
  let path = [];
  let over = false;
  const map = el('div.map', { role: 'group', 'aria-label': 'Map of retained sizes', onkeydown: key });
  const line = el('p.map-about', { role: 'status' }, 'Click an area to select its object, twice to go into it.');
  fill(place, map, line);
  const size = new ResizeObserver(draw);
  size.observe(map);

  /** @param {number | null} id @param {Cell[]} before */
  async function enter(id, before) {
    fill(map, el('p.quiet', null, 'Drawing…'));
    try {
      const cell = await options.load(id);
      if (over) return;
      path = [...before, cell];
      options.moved(path.length > 1 ? cell.id : null);
      options.where(path, (at) => void enter(at === 0 ? null : path[at]?.id ?? null, path.slice(0, at)));
      draw();
    } catch (error) {
      if (!over) fill(map, el('p.quiet.wrong', null, error instanceof Error ? error.message : ''));
    }
  }
  function draw() {
    const cell = path[path.length - 1];
    if (!cell) return;
    map.replaceChildren();
    const { clientWidth: w, clientHeight: h } = map;
    if (cell.children.length === 0) {
      fill(map, el('p.quiet', null, 'It dominates nothing that would be seen here.'));
      return;
    }
    areas(cell, 0, 0, w, h, 1);
  }
  /** Areas lie above each other and not in each other: each is a button. @param {Cell} cell @param {number} x @param {number} y @param {number} w @param {number} h @param {number} level */
  function areas(cell, x, y, w, h, level) {
    const values = cell.children.map((child) => child.retained_size);
    const rest = Math.max(0, cell.retained_size - values.reduce((a, b) => a + b, 0));
    const places = squarify([...values, rest], x, y, w, h);
    cell.children.forEach((child, at) => {
      const box = places[at];
      if (!box || box.w < 3 || box.h < 3) return;
      const named = box.w > 44 && box.h > 18;
      const area = el(`button.area.s${shade(child.class)}.l${level}`, { type: 'button', title: options.about(child), tabindex: level === 1 ? 0 : -1, 'aria-label': named ? undefined : options.about(child) });
      area.style.left = `${box.x}px`;
      area.style.top = `${box.y}px`;
      area.style.width = `${box.w - 1}px`;
      area.style.height = `${box.h - 1}px`;
      area.addEventListener('click', (event) => {
        event.stopPropagation();
        fill(line, options.about(child));
        options.choose(child);
      });
      area.addEventListener('dblclick', (event) => {
        event.stopPropagation();
        if (child.count === 1) void enter(child.id, path);
      });
      area.addEventListener('keydown', (event) => {
        if (event.key === 'Enter') {
          event.stopPropagation();
          if (child.count === 1) void enter(child.id, path);
        } else if (event.key === ' ') {
          event.preventDefault();
          options.choose(child);
        }
      });
      if (named) area.append(el('span.area-name', null, options.label(child), box.h > 34 || box.w > 150 ? el('small', null, ` ${bytes(child.retained_size)}`) : ''));
      map.append(area);
      const inner = { w: box.w - 7, h: box.h - (named ? 24 : 7) };
      if (level < 4 && child.children.length > 0 && inner.w > 26 && inner.h > 16) {
        areas(child, box.x + 3, box.y + (named ? 20 : 3), inner.w, inner.h, level + 1);
      }
    });
  }
  /** @param {KeyboardEvent} event */
  function key(event) {
    if ((event.key === 'Escape' || event.key === 'Backspace') && path.length > 1) {
      event.preventDefault();
      void enter(path.length === 2 ? null : path[path.length - 2]?.id ?? null, path.slice(0, -2));
    }
  }
  void enter(null, []).then(() => {
    if (options.start && path[0]) void enter(Number(options.start), [path[0]]);
  });
  return () => {
    over = true;
    size.disconnect();
  };
}

/** @typedef {{label: string, value: number, tone: number}} Part */

/** One bar whose parts add up, with a legend that says the numbers. @param {Part[]} parts @param {number} whole @param {string} label */
export function parts(parts, whole, label) {
  const bar = el('div.parts', { role: 'img', 'aria-label': `${label}: ${parts.map((part) => `${part.label} ${percent(part.value, whole)}`).join(', ')}` });
  for (const part of parts) {
    const piece = el(`span.t${part.tone}`, { title: `${part.label}: ${bytes(part.value)}` });
    piece.style.flexGrow = String(Math.max(0, part.value));
    bar.append(piece);
  }
  const list = el('table.legend', null, el('tbody', null, parts.map((part) => el('tr', null,
    el('th', { scope: 'row' }, el(`span.dot.t${part.tone}`, { 'aria-hidden': 'true' }), part.label),
    el('td', null, bytes(part.value)), el('td.dim', null, percent(part.value, whole))))));
  return el('div', null, bar, list);
}

/** Small bars of a series. @param {number[]} values @param {string} label @param {(value: number) => string} [say] */
export function bars(values, label, say = String) {
  const most = Math.max(1, ...values);
  const width = 14;
  const picture = svg('svg.bars', { viewBox: `0 0 ${values.length * width} 40`, role: 'img', 'aria-label': `${label}: ${values.map(say).join(', ')}`, width: values.length * width, height: 40 });
  values.forEach((value, at) => {
    const height = Math.max(1, (value / most) * 38);
    picture.append(svg('rect', { x: at * width + 1, y: 40 - height, width: width - 3, height, rx: 1.5 }, svg('title', null, say(value))));
  });
  return picture;
}
