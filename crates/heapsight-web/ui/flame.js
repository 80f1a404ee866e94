// A flame graph on a canvas: as wide as bytes, zoomed by a click, searched, walked through by the arrow keys.
// @ts-check

import { el, fill } from './dom.js';
import { estimate, percent, visible } from './format.js';
import { shade } from './charts.js';

/** @typedef {{name: string, url: string, line: number | null, package: string, depth: number, start: number, total: number, self: number, totalError: number | null, selfError: number | null}} Frame */

const LEVEL = 20;

/** @param {any[]} raw @returns {Frame[]} */
export function frames(raw) {
  return raw.map(([name, url, line, pkg, depth, start, total, self, totalError, selfError]) => ({ name, url, line, package: pkg, depth, start, total, self, totalError, selfError }));
}

/**
 * @param {Frame[]} all @param {{zoomed: (frame: Frame | null) => void, colour: (frame: Frame) => string}} options
 */
export function flame(all, options) {
  const canvas = /** @type {HTMLCanvasElement} */ (el('canvas', { 'aria-hidden': 'true' }));
  const told = el('p.map-about', { role: 'status' });
  const scroll = el('div.flame-scroll', { tabindex: 0, role: 'application', 'aria-label': 'Flame graph: arrow keys go from frame to frame, Enter zooms, Escape goes back' }, canvas);
  const element = el('div.flame', null, scroll, told);
  const root = all[0];
  let zoom = root;
  let at = root;
  /** @type {((frame: Frame) => boolean) | null} */
  let found = null;
  const levels = all.reduce((most, frame) => Math.max(most, frame.depth + 1), 1);

  /** @param {Frame} frame @param {number} width @returns {{x: number, w: number} | null} */
  function place(frame, width) {
    if (!zoom) return null;
    const [from, to] = [zoom.start, zoom.start + zoom.total];
    const [a, b] = [Math.max(frame.start, from), Math.min(frame.start + frame.total, to)];
    if (b <= a) return null;
    const scale = width / zoom.total;
    return { x: (a - from) * scale, w: (b - a) * scale };
  }
  function draw() {
    const width = Math.max(50, scroll.clientWidth);
    const ratio = devicePixelRatio || 1;
    canvas.width = width * ratio;
    canvas.height = levels * LEVEL * ratio;
    canvas.style.width = `${width}px`;
    canvas.style.height = `${levels * LEVEL}px`;
    const pen = canvas.getContext('2d');
    if (!pen) return;
    const style = getComputedStyle(element);
    const dark = style.colorScheme === 'dark';
    pen.scale(ratio, ratio);
    pen.clearRect(0, 0, width, levels * LEVEL);
    pen.font = `12px ${style.fontFamily}`;
    pen.textBaseline = 'middle';
    for (const frame of all) {
      const box = place(frame, width);
      if (!box || box.w < 0.4) continue;
      const hit = found === null || found(frame);
      const hue = HUES[shade(options.colour(frame))] ?? 0;
      const wide = zoom !== undefined && frame.depth < zoom.depth;
      const [saturation, light] = !hit || wide ? [8, dark ? 24 : 90] : [48, dark ? 34 : 80];
      pen.fillStyle = `hsl(${hue} ${saturation}% ${light}%)`;
      const [x, y, w, h] = [box.x, frame.depth * LEVEL, Math.max(0.5, box.w - 1), LEVEL - 1];
      pen.fillRect(x, y, w, h);
      if (frame === at) {
        pen.strokeStyle = style.getPropertyValue('--accent');
        pen.lineWidth = 2;
        pen.strokeRect(x + 1, y + 1, Math.max(1, w - 2), h - 2);
      }
      if (box.w > 28) {
        pen.fillStyle = style.getPropertyValue('--ink');
        pen.save();
        pen.beginPath();
        pen.rect(x, y, w - 3, h);
        pen.clip();
        pen.fillText(visible(frame.name), x + 4, y + h / 2 + 1);
        pen.restore();
      }
    }
  }
  /** @param {MouseEvent} event */
  function under(event) {
    const box = canvas.getBoundingClientRect();
    const depth = Math.floor((event.clientY - box.top) / LEVEL);
    const x = event.clientX - box.left;
    return all.find((frame) => {
      if (frame.depth !== depth) return false;
      const where = place(frame, box.width);
      return where !== null && x >= where.x && x < where.x + where.w;
    });
  }
  /** @param {Frame | undefined} frame */
  function tell(frame) {
    if (!frame || !root) return;
    fill(told, el('strong', null, frame.name), ` ${estimate(frame.total, frame.totalError)} (${percent(frame.total, root.total)}), itself ${estimate(frame.self, frame.selfError)} `, el('span.dim', null, frame.url ? `${frame.url}${frame.line ? `:${frame.line}` : ''}` : ''));
  }
  /** @param {Frame | undefined} frame */
  function into(frame) {
    zoom = frame ?? root;
    at = zoom;
    options.zoomed(zoom === root ? null : zoom ?? null);
    tell(at);
    draw();
  }
  canvas.addEventListener('mousemove', (event) => tell(under(event) ?? at));
  canvas.addEventListener('click', (event) => into(under(event)));
  scroll.addEventListener('keydown', (event) => {
    if (!at) return;
    const now = at;
    const inside = (/** @type {Frame} */ f) => f.depth === now.depth + 1 && f.start >= now.start && f.start + f.total <= now.start + now.total;
    const level = all.filter((frame) => frame.depth === now.depth).sort((a, b) => a.start - b.start);
    /** @type {Frame | undefined} */
    let next;
    switch (event.key) {
      case 'ArrowDown': next = all.filter(inside).sort((a, b) => b.total - a.total)[0]; break;
      case 'ArrowUp': next = all.find((frame) => frame.depth === now.depth - 1 && frame.start <= now.start && frame.start + frame.total >= now.start + now.total); break;
      case 'ArrowRight': next = level[level.indexOf(now) + 1]; break;
      case 'ArrowLeft': next = level[level.indexOf(now) - 1]; break;
      case 'Enter': into(now); break;
      case 'Escape': into(root); break;
      default: return;
    }
    event.preventDefault();
    event.stopPropagation();
    if (next) {
      at = next;
      tell(next);
      draw();
      scroll.scrollTop = Math.min(scroll.scrollTop, next.depth * LEVEL);
      scroll.scrollTop = Math.max(scroll.scrollTop, (next.depth + 1) * LEVEL - scroll.clientHeight);
    }
  });
  const size = new ResizeObserver(draw);
  size.observe(scroll);
  const themed = () => draw();
  addEventListener('themechange', themed);
  tell(root);
  return {
    element,
    /** Marks what matches; gives the share of all bytes. @param {((frame: Frame) => boolean) | null} test */
    search: (test) => {
      found = test;
      draw();
      if (!test) return null;
      // A frame below one that was found is part of it already.
      let sum = 0;
      // Samples behind them: that many the error says.
      let samples = 0;
      let end = -1;
      let number = 0;
      for (const frame of [...all].sort((a, b) => a.start - b.start || b.total - a.total)) {
        if (!test(frame)) continue;
        number += 1;
        if (frame.start >= end) {
          sum += frame.total;
          samples += frame.totalError === null ? NaN : frame.totalError ** -2;
          end = frame.start + frame.total;
        }
      }
      return { number, size: sum, error: samples > 0 ? samples ** -0.5 : null };
    },
    reset: () => into(root),
    dispose: () => {
      size.disconnect();
      removeEventListener('themechange', themed);
    },
  };
}

const HUES = [232, 200, 262, 172, 24, 330, 46, 110];
