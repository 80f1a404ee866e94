// The page: its frame, its addresses, and which view stands in it.
//
// Each view is an address: `/f/FILE/VIEW?...`. What is typed or chosen in a view replaces the address, going to another view
// adds one, so that the page can be reloaded anywhere, and back and forward go from view to view.
// @ts-check

import { ask, listen, tell } from './api.js';
import { el, fill, lines } from './dom.js';
import { bytes, percent } from './format.js';
import { comparison } from './views/comparison.js';
import { containment } from './views/containment.js';
import { dominators } from './views/dominators.js';
import { packages } from './views/packages.js';
import { changesView, flameView, seriesView, tableView } from './views/profile.js';
import { search as searchView } from './views/search.js';
import { start } from './views/start.js';
import { statistics } from './views/statistics.js';
import { strings } from './views/strings.js';
import { summary } from './views/summary.js';
import { suspects } from './views/suspects.js';
import { timeline } from './views/timeline.js';

/** @typedef {import('./api.js').File} File */
/** @typedef {import('./api.js').Params} Params */
/** @typedef {import('./api.js').Session} Session */
/** @typedef {{file: number | null, view: string, params: URLSearchParams}} Route */
/** @typedef {{element: HTMLElement, dispose?: () => void, focus?: () => void}} View */
/**
 * @typedef {object} Context what a view is given
 * @property {Session} session
 * @property {number} file
 * @property {URLSearchParams} params
 * @property {() => File | undefined} about the file as it is now
 * @property {(params: Params) => void} set replaces a part of the address
 * @property {(view: string, params?: Params, file?: number | null) => void} go
 * @property {(view: string, params?: Params, file?: number | null) => string} href
 * @property {() => Promise<void>} refresh asks for the list of files again
 * @property {(text: string) => void} say says something to those who cannot see it
 */
/** @typedef {{id: string, title: string, make: (context: Context) => View, for: string[]}} ViewKind */

const HEAPS = ['snapshot', 'timeline'];

/** @type {ViewKind[]} */
const VIEWS = [
  { id: 'timeline', title: 'Timeline', make: timeline, for: ['timeline'] },
  { id: 'summary', title: 'Summary', make: summary, for: HEAPS },
  { id: 'comparison', title: 'Comparison', make: comparison, for: HEAPS },
  { id: 'containment', title: 'Containment', make: containment, for: HEAPS },
  { id: 'dominators', title: 'Dominators', make: dominators, for: HEAPS },
  { id: 'statistics', title: 'Statistics', make: statistics, for: HEAPS },
  { id: 'suspects', title: 'Suspects', make: suspects, for: HEAPS },
  { id: 'strings', title: 'Strings', make: strings, for: HEAPS },
  { id: 'packages', title: 'Packages', make: packages, for: HEAPS },
  { id: 'search', title: 'Search', make: searchView, for: HEAPS },
  { id: 'flame', title: 'Flame graph', make: flameView, for: ['profile'] },
  { id: 'table', title: 'Table', make: tableView, for: ['profile'] },
  { id: 'changes', title: 'Difference', make: changesView, for: ['profile'] },
  { id: 'series', title: 'Series', make: seriesView, for: ['profile'] },
  { id: 'start', title: 'Start', make: start, for: ['none'] },
];

/** @type {Session} */
let session = { version: '', read_only: true, beat_ms: 15_000, files: [], filters: [] };
/** @type {View | null} */
let view = null;
/** @type {(() => void) | null} */
let ear = null;

const status = el('div.sr', { role: 'status', 'aria-live': 'polite' });
const main = el('main', { id: 'main', tabindex: -1 });
const tabs = el('nav.tabs', { 'aria-label': 'Views' });
const picker = el('select.picker', { 'aria-label': 'File', onchange: pick });
const search = /** @type {HTMLInputElement} */ (el('input', {
  type: 'search', placeholder: 'Search: name, @id, /regex/, query', 'aria-label': 'Search objects', id: 'search',
}));
const finder = el('form.finder', { role: 'search', onsubmit: find }, search);
const progress = el('div.progress', { hidden: true });

/** @returns {Route} */
function route() {
  const parts = location.pathname.split('/').filter(Boolean);
  const params = new URLSearchParams(location.search);
  if (parts[0] === 'f' && /^\d+$/.test(parts[1] ?? '')) {
    return { file: Number(parts[1]), view: parts[2] ?? '', params };
  }
  return { file: null, view: parts[0] ?? '', params };
}

/** @param {string} name @param {Params} [params] @param {number | null} [file] @returns {string} */
function href(name, params = {}, file = route().file) {
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(params)) {
    if (value !== null && value !== undefined && value !== '' && value !== false) query.set(key, String(value));
  }
  const text = query.toString();
  const path = file === null ? `/${name}` : `/f/${file}/${name}`;
  return path + (text ? `?${text}` : '');
}

/** @param {string} name @param {Params} [params] @param {number | null} [file] */
function go(name, params, file) {
  history.pushState(null, '', href(name, params, file));
  void show();
}

/** @param {Params} params */
function set(params) {
  const query = new URLSearchParams(location.search);
  for (const [key, value] of Object.entries(params)) {
    if (value === null || value === undefined || value === '' || value === false) query.delete(key);
    else query.set(key, String(value));
  }
  const text = query.toString();
  history.replaceState(null, '', location.pathname + (text ? `?${text}` : ''));
}

/** @param {Event} event */
function pick(event) {
  const value = /** @type {HTMLSelectElement} */ (event.target).value;
  if (value === '') go('', {}, null);
  else go('', {}, Number(value));
}

/** @param {Event} event */
function find(event) {
  event.preventDefault();
  const text = search.value.trim();
  const { file } = route();
  if (text !== '' && file !== null) go('search', { text }, file);
}

async function refresh() {
  session.files = (await ask('files')).files;
  pickers();
}

function pickers() {
  const { file } = route();
  fill(picker, el('option', { value: '', selected: file === null }, 'Start'),
    session.files.map((one) => el('option', { value: one.id, selected: one.id === file }, one.name)));
  /** @type {HTMLSelectElement} */ (picker).value = file === null ? '' : String(file);
}

/** Follows how far a file is. @param {number} file */
function follow(file) {
  ear?.();
  ear = listen(`files/${file}/events`, (/** @type {File} */ now) => {
    const at = session.files.findIndex((one) => one.id === now.id);
    const before = session.files[at];
    session.files[at] = now;
    tell_progress(now);
    if (before && before.kind !== now.kind) {
      const { view: name } = route();
      navigation(now, name);
      if (name === '') void show();
    }
    return now.state === 'opening' || now.state === 'closed';
  });
}

/** @param {File} file */
function tell_progress(file) {
  const shown = file.state === 'opening';
  progress.hidden = !shown;
  document.body.classList.toggle('opening', shown);
  if (!shown) {
    if (file.state === 'failed') failed(file);
    return;
  }
  const whole = file.length ?? file.size ?? 0;
  const read = file.bytes ?? 0;
  const reading = file.phase === 'read' || file.phase === 'waiting';
  const bar = el('progress', { max: 1, 'aria-label': `Opening ${file.name}` });
  if (reading && whole > 0) bar.setAttribute('value', String(Math.min(1, read / whole)));
  const text = file.phase === 'waiting' ? 'waiting for another file'
    : reading ? `${bytes(read)} of ${bytes(whole)} (${percent(read, whole)})`
      : file.phase === 'index' ? 'from its index' : `analysing: ${file.phase}`;
  fill(progress, el('strong', null, reading ? `Reading ${file.name}` : `Opening ${file.name}`), bar, el('span', null, text));
}

/** @param {File} file */
function failed(file) {
  view?.dispose?.();
  view = null;
  fill(main, el('section.notice.wrong', null,
    el('h1', null, 'The file cannot be opened'),
    el('p', null, lines(file.what ?? '')),
    file.hint ? el('p.hint', null, file.hint) : null,
    el('div.buttons', null,
      el('button.primary', { type: 'button', onclick: async () => {
        await tell(`files/${file.id}/retry`);
        void show();
      } }, 'Try again'),
      el('a.button', { href: '/' }, 'Other files'))));
}

/** @param {File | undefined} file @param {string} name */
function navigation(file, name) {
  const list = file ? VIEWS.filter((one) => one.for.includes(file.kind)) : [];
  picker.hidden = session.files.length === 0;
  fill(tabs, list.map((one) => el('a', {
    href: href(one.id, {}, file?.id), 'aria-current': one.id === name ? 'page' : undefined,
  }, one.title)));
  tabs.hidden = list.length === 0;
  tabs.querySelector('[aria-current]')?.scrollIntoView({ block: 'nearest', inline: 'center' });
  finder.hidden = !file || file.kind === 'profile';
}

/** Shows what the address says. */
async function show() {
  const { file, view: name, params } = route();
  view?.dispose?.();
  view = null;
  ear?.();
  ear = null;
  progress.hidden = true;
  pickers();
  const about = file === null ? undefined : session.files.find((one) => one.id === file);
  if (file !== null && !about) {
    navigation(undefined, '');
    fill(main, el('section.notice', null, el('h1', null, 'There is no such file'),
      el('p', null, 'The server knows the files that it was started with, those that were dropped on the page, and its captures.'),
      el('div.buttons', null, el('a.button.primary', { href: '/' }, 'All files'))));
    return;
  }
  const list = VIEWS.filter((one) => one.for.includes(about ? about.kind : 'none'));
  const kind = list.find((one) => one.id === name) ?? list[0];
  navigation(about, kind?.id ?? '');
  document.title = about ? `${about.name} · ${kind?.title ?? ''} – Heapsight` : 'Heapsight';
  if (!kind) return;
  if (file !== null) follow(file);
  view = kind.make({
    session,
    file: file ?? -1,
    params,
    about: () => session.files.find((one) => one.id === file),
    set, go, href, refresh,
    say: (text) => { status.textContent = text; },
  });
  fill(main, view.element);
}

/** Links of the page go by its own addresses. @param {MouseEvent} event */
function follow_link(event) {
  const link = /** @type {HTMLElement} */ (event.target).closest?.('a');
  if (!(link instanceof HTMLAnchorElement) || event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey) return;
  if (link.origin !== location.origin || link.target || link.hasAttribute('download')) return;
  event.preventDefault();
  history.pushState(null, '', link.pathname + link.search);
  void show();
}

/** @param {KeyboardEvent} event */
function key(event) {
  const target = /** @type {HTMLElement} */ (event.target);
  const types = target.matches?.('input, select, textarea');
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === 'Escape' && types) {
    target.blur();
    main.querySelector('.grid') instanceof HTMLElement && /** @type {HTMLElement} */ (main.querySelector('.grid')).focus();
    return;
  }
  if (types) return;
  if (event.key === '/') {
    event.preventDefault();
    const own = main.querySelector('input[data-filter]');
    if (own instanceof HTMLInputElement) own.select();
    else search.select();
  } else if (event.key === '?') {
    event.preventDefault();
    help();
  } else if (event.key === 's') {
    event.preventDefault();
    search.select();
  }
}

/** The keys. */
function help() {
  const keys = [
    ['↑ ↓', 'go from row to row'], ['→ ←', 'open and close a row, go to the one that it is in'], ['Home End', 'to the first and the last row'],
    ['Page ↑ ↓', 'by pages'], ['Enter', 'in Retainers and fields: look at that object; else open the row'], ['Space', 'open or close'],
    ['/', 'to the filter of the view'], ['s', 'to the search'], ['Esc', 'back to the table; out of an area of a map'],
    ['Alt ← →', 'on a heading: make the column narrower or wider'], ['?', 'this help'],
  ];
  const dialog = /** @type {HTMLDialogElement} */ (el('dialog', { 'aria-labelledby': 'help-title', onclose: () => dialog.remove() },
    el('h2', { id: 'help-title' }, 'Keys'),
    el('dl.keys', null, keys.flatMap(([key, what]) => [el('dt', null, el('kbd', null, key ?? '')), el('dd', null, what ?? '')])),
    el('p.dim', null, `Heapsight ${session.version}`),
    el('button.primary', { type: 'button', onclick: () => dialog.close() }, 'Close')));
  document.body.append(dialog);
  dialog.showModal();
}

function themes() {
  const kept = (() => {
    try {
      return localStorage.getItem('theme');
    } catch {
      return null;
    }
  })();
  if (kept === 'light' || kept === 'dark') document.documentElement.dataset.theme = kept;
  const button = el('button.plain', { type: 'button', 'aria-label': 'Light or dark', title: 'Light or dark', onclick: () => {
    const dark = document.documentElement.dataset.theme
      ? document.documentElement.dataset.theme === 'dark'
      : matchMedia('(prefers-color-scheme: dark)').matches;
    const next = dark ? 'light' : 'dark';
    document.documentElement.dataset.theme = next;
    try {
      localStorage.setItem('theme', next);
    } catch {
      // A browser that keeps nothing forgets it.
    }
    dispatchEvent(new Event('themechange'));
  } }, '◐');
  return button;
}

async function begin() {
  document.body.append(
    el('a.skip', { href: '#main' }, 'To the content'),
    el('header.top', null, el('a.brand', { href: '/', title: 'Start' }, 'Heapsight'), picker, finder, el('button.plain', { type: 'button', 'aria-label': 'Keys and help', title: 'Keys (?)', onclick: help }, '?'), themes()),
    tabs, progress, main, status);
  addEventListener('popstate', () => void show());
  document.addEventListener('click', follow_link);
  document.addEventListener('keydown', key);
  try {
    session = await ask('session');
  } catch (error) {
    fill(main, el('section.notice.wrong', null, el('h1', null, 'The server does not answer'),
      el('p', null, error instanceof Error ? error.message : '')));
    return;
  }
  // The server may end when no page is open: this one says that it is.
  setInterval(() => void ask('alive').catch(() => {}), session.beat_ms);
  if (location.pathname === '/' && session.files.length === 1 && session.files[0]?.origin === 'given' && !session.target && !document.referrer) {
    history.replaceState(null, '', `/f/${session.files[0]?.id}/`);
  }
  await show();
}

void begin();
