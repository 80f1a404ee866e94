// One table for all views: a tree of rows of which only those that are seen exist.
//
// Rows are asked for by pages when they come into sight, and below a row when it is opened. A branch knows how many rows it
// has and which of them are open, so that finding the row at a height costs the number of open rows, not of all rows.
// @ts-check

import { el, fill } from './dom.js';
import { bytes, count, distance, estimate, percent, signedBytes, signedCount } from './format.js';

/** @typedef {import('./api.js').Row} Row */
/** @typedef {import('./api.js').Rows} Rows */
/** @typedef {{id: string, dir: 'asc' | 'desc'}} Sort */
/**
 * @typedef {object} Column
 * @property {string} id name of the field, and of the order
 * @property {string} title
 * @property {'tree' | 'text' | 'bytes' | 'count' | 'distance' | 'signed-bytes' | 'signed-count'} kind
 * @property {number} [width] pixels
 * @property {number} [grow] its part of what the others leave, its width being the least; all of it for a tree without a width
 * @property {number} [from] the width of the table from which on it is shown
 * @property {boolean} [fixed] cannot be sorted by
 * @property {string} [hint] what it means
 * @property {(row: Row) => Node | string} [show] what is shown in place of the number
 * @property {(row: Row) => number} [value]
 * @property {() => number} [whole] of which the number is a part: shows a bar
 * @property {(row: Row) => number | null} [error] relative standard error of bytes that were estimated
 */
/**
 * @typedef {object} Options
 * @property {string} label for those who cannot see it
 * @property {Column[]} columns
 * @property {(row: Row | null, from: number, count: number, sort: Sort, parents: Row[]) => Promise<Rows>} load
 * @property {(row: Row, level: number) => boolean} [opens] whether there are rows below
 * @property {(row: Row, level: number) => void} [onselect]
 * @property {(row: Row, level: number) => void} [onopen] Enter, or a double click
 * @property {(sort: Sort) => void} [onsort]
 * @property {(answer: Rows) => void} [onload] the first rows are there
 * @property {(answer: unknown) => void} [onfail]
 * @property {Sort} sort
 * @property {string | (() => string)} empty what is said where there are no rows
 */

const ROW = 28;
const PAGE = 100;
const MORE = 8;
/** Rows whose places are counted from the same one. */
const NEARBY = 4096;
/** Elements higher than this are not drawn right by every browser. */
const HIGHEST = 12_000_000;

/** The rows below a row, or those of the table. */
class Branch {
  /** @type {number} */
  level = 0;

  /** @param {Branch | null} parent @param {number} index @param {Row | null} row */
  constructor(parent, index, row) {
    this.parent = parent;
    this.index = index;
    this.row = row;
    if (parent) this.level = parent.level + 1;
    /** @type {number | null} */
    this.total = null;
    /** @type {Map<number, Row[]>} */
    this.pages = new Map();
    /** @type {Set<number>} */
    this.asked = new Set();
    /** @type {Map<number, Branch>} */
    this.open = new Map();
    this.order = /** @type {number[]} */ ([]);
    /** @type {string | null} */
    this.wrong = null;
  }

  /** Rows that are seen when it is open: at least one, that says why there are none. */
  get own() {
    return this.total === null || this.wrong !== null ? 1 : Math.max(1, this.total);
  }

  /** @returns {number} */
  get height() {
    let sum = this.own;
    for (const child of this.open.values()) sum += child.height;
    return sum;
  }

  /** @param {number} index */
  at(index) {
    return this.pages.get(Math.floor(index / PAGE))?.[index % PAGE] ?? null;
  }

  /** @param {number} index @param {Branch} branch */
  attach(index, branch) {
    this.open.set(index, branch);
    this.order = [...this.open.keys()].sort((a, b) => a - b);
  }

  /** @param {number} index */
  detach(index) {
    this.open.delete(index);
    this.order = this.order.filter((other) => other !== index);
  }

  /** Rows of the tree from the root to this branch. @returns {Row[]} */
  rows() {
    const rows = this.parent ? this.parent.rows() : [];
    if (this.row) rows.push(this.row);
    return rows;
  }
}

export class TreeGrid {
  /** @param {Options} options */
  constructor(options) {
    this.options = options;
    this.sort = options.sort;
    this.root = new Branch(null, 0, null);
    /** @type {{branch: Branch, index: number}} */
    this.active = { branch: this.root, index: 0 };
    this.chosen = false;
    /** The active row was chosen before it was there. */
    this.late = false;
    this.generation = 0;
    /** @type {Map<string, number>} */
    this.widths = new Map();
    /** @type {HTMLElement[]} */
    this.pool = [];
    this.frame = 0;
    /** Goes up when what is drawn is out of date. */
    this.epoch = 0;
    /** What each element shows. @type {WeakMap<Element, Record<string, unknown>>} */
    this.drawn = new WeakMap();
    this.unique = `g${(TreeGrid.made += 1)}`;
    this.head = el('div.grid-head', { role: 'row' });
    this.space = el('div.grid-space', { role: 'presentation' });
    this.body = el('div.grid-body', { role: 'rowgroup' });
    this.space.append(this.body);
    this.element = el('div.grid', { role: 'treegrid', tabindex: 0, 'aria-label': options.label, 'aria-rowcount': 0 },
      el('div', { role: 'rowgroup' , class: 'grid-top' }, this.head), this.space);
    this.element.addEventListener('scroll', () => this.draw(), { passive: true });
    this.element.addEventListener('keydown', (event) => this.key(event));
    for (const change of ['focus', 'blur']) this.element.addEventListener(change, () => this.draw());
    this.body.addEventListener('click', (event) => this.click(event));
    this.body.addEventListener('dblclick', (event) => this.twice(event));
    this.size = new ResizeObserver(() => {
      this.columns();
      this.draw();
    });
    this.size.observe(this.element);
    /** @type {Column[]} */
    this.shown = [];
    this.columns();
    this.draw();
  }

  dispose() {
    this.generation += 1;
    this.size.disconnect();
    cancelAnimationFrame(this.frame);
  }

  /** Asks for all rows again. */
  reload() {
    this.generation += 1;
    this.root = new Branch(null, 0, null);
    this.active = { branch: this.root, index: 0 };
    this.chosen = false;
    this.element.scrollTop = 0;
    // Asked for now, not when the next frame finds that they are missing.
    void this.need(this.root, 0);
    this.draw();
  }

  /** The columns that there is room for. */
  columns() {
    const width = this.element.clientWidth || 1000;
    const shown = this.options.columns.filter((column) => width >= (column.from ?? 0));
    const changed = shown.length !== this.shown.length;
    this.shown = shown;
    const widths = shown.map((column) => {
      const set = this.widths.get(column.id);
      if (set) return `${set}px`;
      const tree = column.kind === 'tree' && column.width === undefined;
      const usual = column.width ?? (tree ? 130 : 110);
      const grow = column.grow ?? (tree ? 1 : 0);
      if (grow > 0) return `minmax(${usual}px, ${grow}fr)`;
      // The share of the whole is left out where it is narrow.
      return `${width < 480 && column.kind === 'bytes' ? Math.min(usual, 118) : usual}px`;
    });
    this.element.style.setProperty('--columns', widths.join(' '));
    if (changed || this.head.childElementCount === 0) {
      fill(this.head, shown.map((column) => this.heading(column)));
      for (const row of this.pool) row.remove();
      this.pool = [];
    }
  }

  /** @param {Column} column */
  heading(column) {
    const sorts = !column.fixed;
    const active = this.sort.id === column.id;
    const name = el('span', null, column.title);
    const mark = el('span.sort-mark', { 'aria-hidden': 'true' }, active ? (this.sort.dir === 'asc' ? '▲' : '▼') : '');
    const button = sorts
      ? el('button.sort', { type: 'button', title: column.hint, onclick: () => this.sortBy(column) }, name, mark)
      : el('span.sort', { title: column.hint }, name);
    const grip = el('span.grip', { 'aria-hidden': 'true', onpointerdown: (/** @type {PointerEvent} */ e) => this.drag(e, column) });
    const cell = el(`div.cell.${column.kind === 'tree' || column.kind === 'text' ? 'text' : 'number'}`,
      { role: 'columnheader', 'aria-sort': !sorts ? undefined : !active ? 'none' : this.sort.dir === 'asc' ? 'ascending' : 'descending' },
      button, grip);
    button.addEventListener('keydown', (event) => {
      if (!event.altKey || (event.key !== 'ArrowLeft' && event.key !== 'ArrowRight')) return;
      event.preventDefault();
      event.stopPropagation();
      this.resize(column, cell.offsetWidth + (event.key === 'ArrowLeft' ? -16 : 16));
    });
    return cell;
  }

  /** @param {Column} column @param {number} width */
  resize(column, width) {
    this.widths.set(column.id, Math.min(2000, Math.max(48, Math.round(width))));
    this.columns();
  }

  /** @param {PointerEvent} event @param {Column} column */
  drag(event, column) {
    const grip = /** @type {HTMLElement} */ (event.target);
    const cell = /** @type {HTMLElement} */ (grip.parentElement);
    const from = event.clientX;
    const width = cell.offsetWidth;
    event.preventDefault();
    grip.setPointerCapture(event.pointerId);
    const move = (/** @type {PointerEvent} */ e) => this.resize(column, width + e.clientX - from);
    grip.addEventListener('pointermove', move);
    grip.addEventListener('lostpointercapture', () => grip.removeEventListener('pointermove', move), { once: true });
  }

  /** @param {Column} column */
  sortBy(column) {
    const same = this.sort.id === column.id;
    /** @type {'asc' | 'desc'} */
    const usual = column.kind === 'tree' || column.kind === 'text' || column.kind === 'distance' ? 'asc' : 'desc';
    const other = usual === 'asc' ? 'desc' : 'asc';
    this.sort = { id: column.id, dir: same && this.sort.dir === usual ? other : usual };
    fill(this.head, this.shown.map((shown) => this.heading(shown)));
    const buttons = this.head.querySelectorAll('button.sort');
    const at = this.shown.filter((shown) => !shown.fixed).indexOf(column);
    /** @type {HTMLElement | undefined} */ (buttons[at])?.focus();
    this.options.onsort?.(this.sort);
    this.reload();
  }

  /** Where a row of a branch stands. @param {Branch} branch @param {number} index @returns {number} */
  position(branch, index) {
    let sum = index;
    for (const open of branch.order) {
      if (open >= index) break;
      sum += /** @type {Branch} */ (branch.open.get(open)).height;
    }
    if (!branch.parent) return sum;
    return this.position(branch.parent, branch.index) + 1 + sum;
  }

  /** The row at a height. @param {number} position @returns {{branch: Branch, index: number}} */
  find(position) {
    let branch = this.root;
    let left = position;
    search: for (;;) {
      let before = 0;
      for (const open of branch.order) {
        const child = /** @type {Branch} */ (branch.open.get(open));
        const at = open + before;
        if (left <= at) break;
        const height = child.height;
        if (left <= at + height) {
          left -= at + 1;
          branch = child;
          continue search;
        }
        before += height;
      }
      return { branch, index: left - before };
    }
  }

  /** Asks for the page that a row is on. @param {Branch} branch @param {number} index */
  async need(branch, index) {
    const page = Math.floor(index / PAGE);
    if (branch.asked.has(page) || branch.wrong !== null) return;
    branch.asked.add(page);
    const generation = this.generation;
    try {
      const answer = await this.options.load(branch.row, page * PAGE, PAGE, this.sort, branch.rows());
      if (generation !== this.generation) return;
      branch.total = answer.total;
      branch.pages.set(page, answer.rows);
      if (branch === this.root && page === 0) this.options.onload?.(answer);
      const active = this.active.branch === branch ? branch.at(this.active.index) : null;
      if (this.late && active) {
        this.late = false;
        this.options.onselect?.(active, branch.level);
      }
    } catch (error) {
      if (generation !== this.generation) return;
      branch.wrong = error instanceof Error ? error.message : String(error);
      if (branch === this.root) this.options.onfail?.(error);
    }
    this.draw();
  }

  /** Draws all rows again, also those that are there. */
  redraw() {
    this.epoch += 1;
    this.draw();
  }

  draw() {
    if (this.frame) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      this.drawNow();
    });
  }

  drawNow() {
    const all = this.root.height;
    const height = Math.min(all * ROW, HIGHEST);
    this.space.style.height = `${height}px`;
    const room = Math.max(1, this.element.clientHeight - this.head.offsetHeight);
    const seen = Math.ceil(room / ROW) + 1;
    const top = this.element.scrollTop;
    // A table that is too high is scrolled by its share.
    const share = height < all * ROW ? top / Math.max(1, height - room) : 0;
    const exact = height < all * ROW ? share * (all - room / ROW) : top / ROW;
    const first = Math.max(0, Math.floor(exact) - MORE);
    const last = Math.min(all, Math.floor(exact) + seen + MORE);
    // Rows stand in the body at places of their own, and the body is moved: a frame changes one place and not each row's.
    // Places are counted from a row nearby, since browsers do not know large ones exactly.
    const base = first - (first % NEARBY);
    this.body.style.transform = `translateY(${top - (exact - base) * ROW}px)`;
    this.element.setAttribute('aria-rowcount', String(all + 1));
    // Elements stay with their rows while these are in sight: scrolling fills only those that come into it.
    while (this.pool.length < last - first) {
      this.epoch += 1;
      const row = el('div.row', { role: 'row' }, this.shown.map((column) =>
        el(`div.cell.${column.kind === 'tree' || column.kind === 'text' ? 'text' : 'number'}`, { role: 'gridcell', 'data-column': column.id })));
      this.pool.push(row);
      this.body.append(row);
    }
    const active = this.position(this.active.branch, this.active.index);
    let focused = '';
    const pool = this.pool.length;
    for (let position = first; position < first + pool; position += 1) {
      const row = /** @type {HTMLElement} */ (this.pool[position % pool]);
      const hidden = position >= last;
      if (row.hidden !== hidden) row.hidden = hidden;
      if (hidden) continue;
      const { branch, index } = this.find(position);
      const top = `translateY(${(position - base) * ROW}px)`;
      if (row.style.transform !== top) row.style.transform = top;
      this.drawRow(row, branch, index, position);
      const is = position === active;
      row.classList.toggle('active', is && (this.chosen || document.activeElement === this.element));
      row.setAttribute('aria-selected', String(is && this.chosen));
      if (is) focused = row.id;
    }
    if (focused) this.element.setAttribute('aria-activedescendant', focused);
    else this.element.removeAttribute('aria-activedescendant');
  }

  /** @param {HTMLElement} element @param {Branch} branch @param {number} index @param {number} position */
  drawRow(element, branch, index, position) {
    const row = branch.at(index);
    if (!row && branch.total !== 0) void this.need(branch, index);
    const open = branch.open.has(index);
    const now = { row, branch, position, open, total: branch.total, wrong: branch.wrong, epoch: this.epoch };
    const then = this.drawn.get(element);
    if (then && Object.entries(now).every(([name, value]) => then[name] === value)) return;
    this.drawn.set(element, now);
    element.id = `${this.unique}-${position}`;
    element.setAttribute('aria-rowindex', String(position + 2));
    element.setAttribute('aria-level', String(branch.level + 1));
    element.dataset.position = String(position);
    const cells = element.children;
    const opens = row !== null && (this.options.opens?.(row, branch.level) ?? false);
    if (opens) element.setAttribute('aria-expanded', String(open));
    else element.removeAttribute('aria-expanded');
    element.classList.toggle('waits', !row && branch.wrong === null && branch.total !== 0);
    element.classList.toggle('says', !row && (branch.wrong !== null || branch.total === 0));
    this.shown.forEach((column, at) => {
      const cell = /** @type {HTMLElement} */ (cells[at]);
      if (column.kind === 'tree') {
        cell.style.paddingInlineStart = `${8 + Math.min(branch.level, 40) * 16}px`;
        fill(cell, el('span.toggle', { 'aria-hidden': 'true' }, opens ? (open ? '▾' : '▸') : ''),
          row ? (column.show?.(row) ?? String(row[column.id] ?? '')) : this.instead(branch));
      } else if (!row) {
        fill(cell);
      } else {
        fill(cell, ...this.number(column, row));
      }
    });
  }

  /** What stands where there is no row. @param {Branch} branch */
  instead(branch) {
    if (branch.wrong !== null) return branch.wrong;
    if (branch.total === 0) {
      if (branch.parent) return '(nothing)';
      return typeof this.options.empty === 'function' ? this.options.empty() : this.options.empty;
    }
    return '…';
  }

  /** @param {Column} column @param {Row} row @returns {(Node | string)[]} */
  number(column, row) {
    if (column.show) return [column.show(row)];
    const raw = column.value ? column.value(row) : row[column.id];
    if (raw === null || raw === undefined) return [''];
    const value = Number(raw);
    switch (column.kind) {
      case 'bytes': {
        const whole = column.whole?.() ?? 0;
        const text = estimate(value, column.error?.(row));
        if (whole <= 0) return [text];
        const bar = el('span.bar', { 'aria-hidden': 'true' });
        bar.style.width = `${Math.min(100, (value * 100) / whole)}%`;
        return [el('span.value', null, text), el('span.share', null, percent(value, whole)), bar];
      }
      case 'signed-bytes': return [el(value > 0 ? 'span.more' : 'span', null, signedBytes(value))];
      case 'signed-count': return [el(value > 0 ? 'span.more' : 'span', null, signedCount(value))];
      case 'distance': return [distance(value)];
      case 'count': return [count(value)];
      default: return [String(raw)];
    }
  }

  /** @param {Branch} branch @param {number} index */
  toggle(branch, index) {
    const row = branch.at(index);
    if (!row) return;
    if (branch.open.has(index)) {
      // What is active below goes with it.
      let at = this.active.branch;
      while (at.parent && !(at.parent === branch && at.index === index)) at = at.parent;
      if (at.parent) this.active = { branch, index };
      branch.detach(index);
    } else if (this.options.opens?.(row, branch.level)) {
      const child = new Branch(branch, index, row);
      branch.attach(index, child);
      void this.need(child, 0);
    }
    this.draw();
  }

  /** Opens the first row, and the first below it, for so many levels. @param {number} levels @param {(row: Row) => boolean} [stop] */
  async unfold(levels, stop) {
    let branch = this.root;
    for (let level = 0; level < levels; level += 1) {
      const generation = this.generation;
      if (branch.total === null) await this.need(branch, 0);
      for (let turn = 0; turn < 200 && branch.total === null && branch.wrong === null; turn += 1) {
        await new Promise((done) => setTimeout(done, 25));
      }
      const row = branch.at(0);
      if (generation !== this.generation || !row || stop?.(row) || !this.options.opens?.(row, branch.level)) return;
      const child = branch.open.get(0) ?? new Branch(branch, 0, row);
      if (!branch.open.has(0)) branch.attach(0, child);
      branch = child;
      this.draw();
    }
  }

  /** @param {{branch: Branch, index: number}} place */
  choose(place) {
    this.active = place;
    this.chosen = true;
    const row = place.branch.at(place.index);
    this.reveal();
    this.draw();
    this.late = row === null;
    if (row) this.options.onselect?.(row, place.branch.level);
  }

  reveal() {
    const position = this.position(this.active.branch, this.active.index);
    const all = this.root.height;
    const room = this.element.clientHeight - this.head.offsetHeight;
    if (all * ROW > HIGHEST) {
      const seen = room / ROW;
      const exact = (this.element.scrollTop / Math.max(1, HIGHEST - room)) * (all - seen);
      if (position >= exact && position + 1 <= exact + seen) return;
      const wanted = position < exact ? position : position + 1 - seen;
      this.element.scrollTop = (wanted / Math.max(1, all - seen)) * (HIGHEST - room);
      return;
    }
    const top = position * ROW;
    if (top < this.element.scrollTop) this.element.scrollTop = top;
    else if (top + ROW > this.element.scrollTop + room) this.element.scrollTop = top + ROW - room;
  }

  /** @param {number} position */
  go(position) {
    this.choose(this.find(Math.min(this.root.height - 1, Math.max(0, position))));
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    if (event.target !== this.element || event.altKey || event.ctrlKey || event.metaKey) return;
    const { branch, index } = this.active;
    const position = this.position(branch, index);
    const page = Math.max(1, Math.floor((this.element.clientHeight - this.head.offsetHeight) / ROW) - 1);
    const row = branch.at(index);
    switch (event.key) {
      case 'ArrowDown': this.go(this.chosen ? position + 1 : position); break;
      case 'ArrowUp': this.go(position - 1); break;
      case 'PageDown': this.go(position + page); break;
      case 'PageUp': this.go(position - page); break;
      case 'Home': this.go(0); break;
      case 'End': this.go(this.root.height - 1); break;
      case 'ArrowRight':
        if (branch.open.has(index)) this.go(position + 1);
        else this.toggle(branch, index);
        break;
      case 'ArrowLeft':
        if (branch.open.has(index)) this.toggle(branch, index);
        else if (branch.parent) this.choose({ branch: branch.parent, index: branch.index });
        break;
      case ' ': this.toggle(branch, index); break;
      case 'Enter':
        if (row && this.options.onopen) this.options.onopen(row, branch.level);
        else this.toggle(branch, index);
        break;
      default: return;
    }
    event.preventDefault();
    event.stopPropagation();
  }

  /** @param {Event} event @returns {{branch: Branch, index: number} | null} */
  place(event) {
    const row = /** @type {HTMLElement} */ (event.target).closest('.row');
    const position = row instanceof HTMLElement ? row.dataset.position : undefined;
    return position === undefined ? null : this.find(Number(position));
  }

  /** @param {MouseEvent} event */
  click(event) {
    const target = /** @type {HTMLElement} */ (event.target);
    if (target.closest('a, button')) return;
    const place = this.place(event);
    if (!place) return;
    if (target.closest('.toggle')) this.toggle(place.branch, place.index);
    this.choose(place);
  }

  /** @param {MouseEvent} event */
  twice(event) {
    const target = /** @type {HTMLElement} */ (event.target);
    if (target.closest('a, button, .toggle')) return;
    const place = this.place(event);
    const row = place?.branch.at(place.index);
    if (!place || !row) return;
    if (this.options.onopen) this.options.onopen(row, place.branch.level);
    else this.toggle(place.branch, place.index);
  }
}
TreeGrid.made = 0;
