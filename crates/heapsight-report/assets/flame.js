'use strict';
// Draws a flame graph from columns of frames: from the outermost functions down, or inverted, from what allocated to who
// called it. Only what is at least half a pixel wide is laid out, so the work depends on the window and not on the file.
(() => {
  const data = JSON.parse(document.getElementById('data').textContent);
  const by = (id) => document.getElementById(id);
  const chart = by('chart'), told = by('told'), search = by('search'), reset = by('reset');
  const count = data.function.length;
  const ROW = 18, NARROWEST = 0.5, MOST = 20000, LEVELS = 512, WORK = 5e6, SHADES = 5;
  const isDifference = 'totalBefore' in data;

  // --- The two trees. An item has: f (function), sizes, own, kids().

  const sizesOf = (node, kind) => ({
    size: data[kind][node],
    count: data[`${kind}Count`]?.[node],
    before: data[`${kind}Before`]?.[node],
    countBefore: data[`${kind}CountBefore`]?.[node],
  });
  const firstChild = new Int32Array(count).fill(-1), nextSibling = new Int32Array(count).fill(-1);
  for (let node = count - 1; node > 0; node -= 1) {
    const parent = data.parent[node];
    nextSibling[node] = firstChild[parent];
    firstChild[parent] = node;
  }
  const downwards = (node, parent) => {
    const item = { f: data.function[node], sizes: sizesOf(node, 'total'), own: data.own[node], parent, isAll: node === 0 };
    item.kids = () => {
      item.list ??= (() => {
        const list = [];
        for (let child = firstChild[node]; child >= 0; child = nextSibling[child]) list.push(downwards(child, item));
        return list;
      })();
      return item.list;
    };
    return item;
  };
  let work = 0;
  // Frames that allocated (`from`), and where on their stacks one level of callers stands (`at`).
  const upwards = (f, from, at, parent) => {
    const sizes = { size: 0, count: 0, before: 0, countBefore: 0 };
    for (const node of from) {
      const own = sizesOf(node, 'own');
      for (const name of Object.keys(sizes)) sizes[name] = own[name] === undefined ? undefined : sizes[name] + own[name];
    }
    const item = { f, sizes, own: parent?.isAll ? sizes.size : 0, parent, isAll: parent === undefined };
    item.kids = () => {
      item.list ??= grouped(from, at, item);
      return item.list;
    };
    return item;
  };
  const grouped = (from, at, item) => {
    if (work > WORK) return [];
    work += from.length;
    const groups = new Map();
    from.forEach((node, place) => {
      const caller = item.isAll ? node : data.parent[at[place]];
      if (caller <= 0) return;
      const key = data.function[caller];
      let group = groups.get(key);
      if (!group) groups.set(key, group = { from: [], at: [] });
      group.from.push(node);
      group.at.push(caller);
    });
    return [...groups].map(([f, group]) => upwards(f, group.from, group.at, item))
      .sort((a, b) => b.sizes.size - a.sizes.size || a.f - b.f);
  };
  const allocating = () => {
    const list = [];
    for (let node = 1; node < count; node += 1) if (data.own[node] > 0) list.push(node);
    return list;
  };
  let root = downwards(0), zoomed = root, drawn = [], picked = -1;

  // --- Words.

  const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  const bytes = (n, error) => {
    let unit = 0, value = Math.abs(n);
    while (value >= 1023.95 && unit + 1 < UNITS.length) { value /= 1024; unit += 1; }
    const digits = error === undefined ? 0 : error >= 0.3 ? 1 : error >= 0.03 ? 2 : error >= 0.003 ? 3 : 0;
    if (digits > 0 && value > 0) {
      const step = 10 ** (Math.floor(Math.log10(value)) + 1 - digits);
      value = Math.round(value / step) * step;
      return `${value.toFixed(Math.max(0, -Math.floor(Math.log10(step) + 1e-9)))} ${UNITS[unit]}`;
    }
    return unit === 0 ? `${value} B` : `${value.toFixed(1)} ${UNITS[unit]}`;
  };
  const signed = (n) => `${n > 0 ? '+' : n < 0 ? '-' : ''}${bytes(n)}`;
  const percent = (part) => `${(part * 100).toFixed(part < 0.0995 ? 1 : 0)} %`;
  const errorOf = (n) => (n > 0 ? 1 / Math.sqrt(n) : undefined);
  const all = data.total[0] || 1;
  const about = (item) => {
    const [name, place, group, url] = data.functions[item.f];
    const { size, before } = item.sizes, error = errorOf(item.sizes.count);
    let text = item.isAll ? 'all' : `${name}  ${place}`;
    text += `\n${bytes(size, error)} (${percent(size / all)}) in all`;
    if (item.own > 0 && !item.isAll) text += `, ${bytes(item.own, error)} by itself`;
    if (error !== undefined) text += `, ±${percent(error)}`;
    if (before !== undefined) text += `, ${signed(size - before)} since before${certain(item.sizes) ? '' : ', which chance explains'}`;
    if (!item.isAll) text += `   ${data.packages[group][0]}${url ? `   ${url}` : ''}`;
    return text;
  };

  // --- Colours.

  const certain = ({ size, count, before, countBefore }) => {
    if (count === undefined || countBefore === undefined) return true;
    const part = (bytes, n) => (n > 0 ? bytes / Math.sqrt(n) : 0);
    return Math.abs(size - before) > 2 * Math.hypot(part(size, count), part(before, countBefore));
  };
  let largest = 1;
  if (isDifference) data.total.forEach((size, node) => { largest = Math.max(largest, Math.abs(size - data.totalBefore[node])); });
  const colour = (item) => {
    if (!isDifference) return item.isAll ? 'pn' : data.packages[data.functions[item.f][2]][1];
    const change = item.sizes.size - item.sizes.before;
    if (change === 0 || !certain(item.sizes)) return 'n';
    const shade = Math.min(SHADES, Math.max(1, Math.ceil(Math.sqrt(Math.abs(change) / largest) * SHADES)));
    return `${change > 0 ? 'g' : 's'}${shade}`;
  };

  // --- Layout.

  const wanted = () => search.value.trim().toLowerCase();
  const text = data.functions.map(([name, place, group, url]) => `${name} ${place} ${url} ${data.packages[group][0]}`.toLowerCase());
  let only = -1;
  const fits = (item) => {
    if (item.isAll) return false;
    if (only >= 0) return data.functions[item.f][2] === only;
    const part = wanted();
    return part !== '' && text[item.f].includes(part);
  };
  const searching = () => only >= 0 || wanted() !== '';

  const draw = () => {
    const pixels = chart.clientWidth || 1000;
    const above = [];
    for (let item = zoomed.parent; item; item = item.parent) above.unshift(item);
    const rows = [];
    above.forEach((item, level) => rows.push({ item, level, x: 0, width: pixels, isAbove: true }));
    const open = [{ item: zoomed, level: above.length, x: 0, width: pixels }];
    const scale = pixels / Math.max(1, zoomed.sizes.size);
    let narrow = 0;
    while (open.length > 0) {
      const row = open.pop();
      rows.push(row);
      if (row.level - above.length >= LEVELS || rows.length + open.length >= MOST) continue;
      let x = row.x;
      const kids = [];
      for (const kid of row.item.kids()) {
        const width = kid.sizes.size * scale;
        if (width >= NARROWEST) kids.push({ item: kid, level: row.level + 1, x, width });
        else narrow += 1;
        x += width;
      }
      open.push(...kids.reverse());
    }
    drawn = rows;
    const body = document.createDocumentFragment();
    let deepest = 0;
    rows.forEach((row, place) => {
      const element = document.createElement('div');
      element.className = `f ${colour(row.item)}`;
      if (row.isAbove) element.classList.add('above');
      if (row.width < 8) element.classList.add('thin');
      if (searching() && fits(row.item)) element.classList.add('found');
      element.dataset.place = place;
      element.setAttribute('role', 'treeitem');
      element.setAttribute('aria-level', row.level + 1);
      element.style.left = `${row.x}px`;
      element.style.top = `${row.level * ROW}px`;
      element.style.width = `${Math.max(row.width, NARROWEST)}px`;
      const [name, where] = data.functions[row.item.f];
      const label = row.item.isAll ? 'all' : `${name} ${where}`;
      if (row.width >= 24) element.textContent = label;
      else element.setAttribute('aria-label', label);
      deepest = Math.max(deepest, row.level);
      body.append(element);
    });
    chart.replaceChildren(body);
    chart.classList.toggle('searching', searching());
    chart.style.height = `${(deepest + 1) * ROW}px`;
    chart.dataset.narrow = narrow;
    reset.hidden = zoomed === root;
    picked = -1;
  };
  const say = (words) => { told.textContent = words; };
  const zoom = (item) => { zoomed = item; draw(); say(about(item)); };

  const found = () => {
    draw();
    if (!searching()) return say('');
    // Bytes of stacks in which a frame fits: what stands below one that fits is a part of it.
    let size = 0, frames = 0, end = -1, rows = drawn.filter((row) => !row.isAbove);
    rows = rows.sort((a, b) => a.x - b.x || a.level - b.level);
    for (const row of rows) {
      if (!fits(row.item)) continue;
      frames += 1;
      if (row.x >= end - 1e-3) { size += row.item.sizes.size; end = row.x + row.width; }
    }
    say(`${frames} frames found, ${bytes(size)}, ${percent(size / zoomed.sizes.size)} of what is shown`);
  };

  // --- Hands.

  const rowOf = (event) => drawn[event.target.closest?.('.f')?.dataset.place ?? -1];
  chart.addEventListener('click', (event) => { const row = rowOf(event); if (row) zoom(row.item); });
  chart.addEventListener('mouseover', (event) => { const row = rowOf(event); if (row) say(about(row.item)); });
  const pick = (place) => {
    if (place < 0 || place >= drawn.length) return;
    chart.children[picked]?.classList.remove('at');
    picked = place;
    chart.children[picked].classList.add('at');
    chart.children[picked].scrollIntoView({ block: 'nearest' });
    say(about(drawn[picked].item));
  };
  chart.addEventListener('keydown', (event) => {
    const here = drawn[picked];
    const go = (test) => pick(drawn.findIndex(test));
    const same = (row) => here && row.level === here.level;
    if (event.key === 'Enter' && here) zoom(here.item);
    else if (!here && event.key.startsWith('Arrow')) pick(0);
    else if (event.key === 'ArrowDown') go((row) => row.item.parent === here.item);
    else if (event.key === 'ArrowUp') go((row) => row.item === here.item.parent);
    else if (event.key === 'ArrowRight') go((row) => same(row) && row.x > here.x);
    else if (event.key === 'ArrowLeft') pick(drawn.findLastIndex((row) => same(row) && row.x < here.x));
    else return;
    event.preventDefault();
  });
  const back = () => { only = -1; search.value = ''; legend(); zoom(root); };
  document.addEventListener('keydown', (event) => {
    if (event.key === 'Escape') back();
    else if (event.key === '/' && document.activeElement !== search) { event.preventDefault(); search.focus(); }
  });
  search.addEventListener('input', () => { only = -1; legend(); found(); });
  reset.addEventListener('click', () => zoom(root));
  by('inverted').addEventListener('change', (event) => {
    work = 0;
    root = event.target.checked ? upwards(data.function[0], allocating(), [], undefined) : downwards(0);
    zoom(root);
  });

  // --- Packages, by what was allocated in their functions.

  const MOST_PACKAGES = 12;
  const sums = data.packages.map(() => 0);
  for (let node = 1; node < count; node += 1) sums[data.functions[data.function[node]][2]] += data.own[node];
  const legend = () => {
    const order = sums.map((size, group) => [size, group]).filter(([size]) => size > 0)
      .sort((a, b) => b[0] - a[0] || a[1] - b[1]).slice(0, MOST_PACKAGES);
    by('legend').replaceChildren(...order.map(([size, group]) => {
      const entry = document.createElement('li'), button = document.createElement('button'), swatch = document.createElement('i');
      swatch.className = data.packages[group][1];
      swatch.hidden = isDifference;
      button.setAttribute('aria-pressed', String(only === group));
      button.append(swatch, `${data.packages[group][0]} ${percent(size / all)}`);
      button.addEventListener('click', () => { only = only === group ? -1 : group; search.value = ''; legend(); found(); });
      entry.append(button);
      return entry;
    }));
  };

  // --- Light and dark.

  const prefersDark = matchMedia('(prefers-color-scheme: dark)');
  let chosen;
  const theme = () => document.documentElement.classList.toggle('dark', chosen ?? prefersDark.matches);
  prefersDark.addEventListener('change', theme);
  by('theme').addEventListener('click', () => { chosen = !(chosen ?? prefersDark.matches); theme(); });
  theme();
  addEventListener('resize', draw);
  legend();
  draw();
})();
