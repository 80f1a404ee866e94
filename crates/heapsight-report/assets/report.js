"use strict";
// The script of a report: it puts the data of this file in place. All text goes in as text nodes; nothing is fetched.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const KINDS = ["Objects", "Code", "Strings", "Arrays", "Buffers", "Other native memory", "The engine's own"];
  // Shades of the accent for what a program makes, greys for the rest.
  const SHADES = [0, 3, 1, 2, 4, 5, 6];
  // Levels of the dominator tree that are drawn at a time.
  const LEVELS = 4;
  const FIRST_ROWS = 25;
  const MORE_ROWS = 100;

  // ---- text and numbers, as the command line writes them

  const UNITS = ["KiB", "MiB", "GiB", "TiB", "PiB"];
  function bytes(n) {
    if (n < 0) return "-" + bytes(-n);
    if (n < 1024) return Math.round(n) + " B";
    let value = n / 1024, unit = 0;
    while (value >= 1023.5 && unit + 1 < UNITS.length) { value /= 1024; unit += 1; }
    return (value >= 999.95 ? count(Math.round(value)) : value.toFixed(1)) + " " + UNITS[unit];
  }
  const count = (n) => String(Math.round(n)).replace(/\B(?=(\d{3})+(?!\d))/g, ",");
  const signed = (n, form) => (n > 0 ? "+" : "") + form(n);
  function percent(part, whole) {
    if (!whole) return "0 %";
    const value = part * 100 / whole;
    return (value === 0 || value >= 9.95 ? value.toFixed(0) : value.toFixed(1)) + " %";
  }
  const number_of = (n, one, many) => count(n) + " " + (n === 1 ? one : many);

  /** An element with classes, properties, and children that are elements or text. */
  function el(name, options, ...children) {
    const [tag, ...classes] = name.split(".");
    const node = document.createElement(tag);
    if (classes.length) node.className = classes.join(" ");
    for (const [key, value] of Object.entries(options || {})) {
      if (key === "on") for (const [event, hear] of Object.entries(value)) node.addEventListener(event, hear);
      else if (key in node) node[key] = value;
      else node.setAttribute(key, value);
    }
    node.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
    return node;
  }
  function svg(tag, attributes, ...children) {
    const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    node.append(...children);
    return node;
  }
  const name = (text) => el("span.name", { title: text.length > 60 ? text : "" }, text);

  // ---- sections

  const main = document.getElementById("main");
  const nav = document.getElementById("nav");
  function section(id, heading, about, ...children) {
    const header = el("header", null, el("h2", null, heading), about ? el("p", null, about) : null);
    main.append(el("section", { id }, header, ...children));
    nav.append(el("a", { href: "#" + id }, heading));
  }

  // ---- title and verdict

  const sittings = data.sittings;
  const last = sittings[sittings.length - 1];
  const labels = sittings.map((_, at) => (at === 0 ? "before" : "round " + at));

  function titled() {
    const verdict = data.verdict;
    const leaks = verdict ? verdict.suspects.length : 0;
    const subject = data.program || (data.names.length === 1 ? data.names[0] : number_of(data.names.length, "snapshot", "snapshots"));
    const heading = !verdict ? "Heap of " + subject
      : (leaks ? number_of(leaks, "leak", "leaks") + " found" : (verdict.by_id ? "No leak found" : "No leak seen")) + " in " + subject;
    document.title = heading + " - Heapsight";
    const files = data.names.length === 1 || data.names.length > 6
      ? data.names[0] + (data.names.length > 1 ? " and " + (data.names.length - 1) + " more" : "")
      : data.names.join(", ");
    const time = data.times[data.times.length - 1];
    const facts = el("dl.facts");
    const fact = (what, value) => facts.append(el("div", null, el("dt", null, what), el("dd", null, value)));
    if (verdict) fact("Work", verdict.rounds);
    if (sittings.length > 1) fact("Heap growth", signed(last.total - sittings[0].total, bytes));
    fact(sittings.length > 1 ? "Heap at the end" : "Heap", bytes(last.total));
    fact("Objects", count(last.nodes));
    fact("References", count(last.edges));
    fact("Classes", count(data.class_count));
    const when = time && time.replace(/^([-\d]+)T([:\d]+)(?:\.\d+)?Z$/, "$1 $2 UTC");
    // A name that stands in the heading is not said again.
    const about = [heading.endsWith(files) ? "" : files, when ? "taken " + when : ""].filter((part) => part).join(", ");
    main.append(el("div.title", null, el("h1", null, heading), about ? el("p", null, about) : null, facts));
  }

  function place(at) {
    return el("span", null, name(at.at), " ", el("span.soft", null, at.what + (at.package ? ", package " + at.package : "")));
  }
  function story(hops) {
    return el("ol.story", null, ...hops.map((hop) => el("li", null, name(hop))));
  }
  function parts(list) {
    const box = el("div.parts");
    for (const [what, n, size] of list) {
      box.append(el("span.num", null, count(n) + " ×"), name(what), el("span.num.soft", null, bytes(size)));
    }
    return box;
  }
  function way(steps) {
    return el("details", null, el("summary", null, "The whole way, " + number_of(steps.length, "step", "steps")),
      el("ol.way", null, ...steps.map((step) => el("li", null, name(step)))));
  }
  function card(rank, title, amounts, rows, steps) {
    const list = el("dl");
    for (const [what, value] of rows) if (value) list.append(el("dt", null, what), el("dd", null, value));
    return el("article.panel.leak", null,
      el("header", null, el("span.rank", null, "#" + rank), el("h3.name", null, title),
        ...amounts.map((amount, at) => el(at ? "span.soft" : "span.amount", null, amount))),
      list, steps.length > 1 ? way(steps) : null);
  }

  function verdict() {
    const v = data.verdict;
    if (!v) return;
    const cards = v.suspects.map((s) => {
      const rounds = s.sizes.length || 1;
      const amounts = [signed(s.size_growth / rounds, bytes) + " a round"];
      if (s.counts.length) amounts.push(signed(s.count_growth / s.counts.length, count) + " " + s.noun + " a round");
      if (v.requests) amounts.push(signed(s.size_growth / v.requests, bytes) + " a request");
      if (rounds > 1) amounts.push(bytes(s.size_growth) + " in " + rounds + " rounds");
      const alike = s.holders > 1 ? number_of(s.holders, "object", "objects") + " held alike, for one " : "";
      const made = s.allocated && s.allocated.length
        ? el("span", null, ...s.allocated.slice(0, 3).flatMap((frame, at) => [at ? el("span.soft", null, " called by ") : "",
          name(frame.what), " ", el("span.soft", null, frame.short)]))
        : null;
      return card(s.rank, s.title, amounts, [
        ["where", s.place ? place(s.place) : null],
        ["allocated in", made],
        ["holder", el("span", null, s.kind + ", " + alike, name(s.class + " @" + s.id), ", retains " + bytes(s.retained))],
        ["kept alive by", story(s.story)],
        ["what stays", s.parts.length ? parts(s.parts) : null],
        ["why", s.why],
        ["each round", s.counts.length ? bars(s.counts, (n) => signed(n, count)) : bars(s.sizes, (n) => signed(n, bytes))],
      ], s.way);
    });
    const notes = [];
    if (!v.by_id) notes.push("The object ids of these files do not fit together: objects were compared by the way they are held and by their class. What is replaced cannot be told from what stays.");
    if (v.round_count === 1) notes.push("There was one round only: a cache that fills looks like a leak. Take three or more.");
    const about = v.suspects.length ? "What holds something of every round, the largest first" : "Nothing holds something of every round";
    section("leaks", "Leaks", about, ...notes.map((note) => el("p.panel", null, note)), ...cards);
    if (v.set_aside.length) {
      main.lastChild.append(el("details.panel", null,
        el("summary", null, "What grew too, and was set aside: " + v.set_aside.length),
        table({
          id: "aside", rows: v.set_aside, sort: 1, bare: true,
          columns: [
            { label: "What", text: (row) => row[0] },
            { label: "Growth", value: (row) => row[2], show: (row) => signed(row[2], bytes) },
            { label: "Each round", value: (row) => row[1][row[1].length - 1] || 0, show: (row) => row[1].map((n) => signed(n, count)).join(", "), minor: true },
            { label: "Why not", text: (row) => row[3], prose: true },
          ],
        })));
    }
  }

  // ---- charts

  /** Bars side by side with their values above them. */
  function bars(values, form) {
    const width = 60, height = 48, top = 16, most = Math.max(1, ...values);
    const chart = svg("svg", { viewBox: `0 0 ${values.length * width} ${height + top}`, role: "img", "aria-label": values.map(form).join(", ") });
    chart.style.maxWidth = values.length * width * 1.15 + "px";
    values.forEach((value, at) => {
      const tall = Math.max(1, value / most * (height - 16));
      const x = at * width;
      chart.append(
        svg("rect", { class: "bar", x: x + 8, y: top + height - 14 - tall, width: width - 16, height: tall, rx: 2 }),
        svg("text", { class: "value", x: x + width / 2, y: top + height - 19 - tall, "text-anchor": "middle" }, form(value)),
        svg("text", { x: x + width / 2, y: top + height - 1, "text-anchor": "middle" }, String(at + 1)));
    });
    return chart;
  }

  /** The size of the heap from snapshot to snapshot, from zero on, what was there before set apart from what came. */
  function heap_chart() {
    const totals = sittings.map((s) => s.total);
    const most = Math.max(...totals), width = Math.max(260, Math.min(640, main.clientWidth - 80)), height = 210, left = 8, bottom = 26, top = 24;
    const step = (width - left * 2) / totals.length, wide = Math.min(76, step * 0.62), tall = height - bottom - top;
    const chart = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": "Size of the heap: " + totals.map(bytes).join(", ") });
    chart.style.maxWidth = width + "px";
    chart.append(svg("line", { class: "axis", x1: left, x2: width - left, y1: height - bottom, y2: height - bottom }));
    totals.forEach((total, at) => {
      const x = left + step * (at + 0.5), scale = tall / most;
      const old = Math.min(total, totals[0]) * scale, grown = Math.max(0, total - totals[0]) * scale;
      const y = height - bottom;
      chart.append(svg("rect", { class: "bar old", x: x - wide / 2, y: y - old, width: wide, height: old }));
      if (grown > 0) chart.append(svg("rect", { class: "bar", x: x - wide / 2, y: y - old - Math.max(1.5, grown), width: wide, height: Math.max(1.5, grown) }));
      chart.append(
        svg("text", { class: "value", x, y: y - old - grown - 8, "text-anchor": "middle" }, bytes(total)),
        svg("text", { x, y: height - 8, "text-anchor": "middle" }, labels[at]));
    });
    return el("figure.panel", null, el("figcaption", null, "Size of the heap; in the stronger colour what it gained"), chart);
  }

  function growth() {
    if (sittings.length < 2) return;
    const about = data.growth_count > data.growth.length ? "the first " + data.growth.length + " of " + count(data.growth_count) + " classes that changed" : "";
    section("growth", "Growth", about, heap_chart());
    if (!data.growth.length) return;
    const columns = [
      { label: "Class", text: (row) => row[0] },
      { label: "Size", value: (row) => row[3], show: (row) => signed(row[3], bytes) },
      { label: "Objects", value: (row) => row[2], show: (row) => signed(row[2], count) },
    ];
    labels.forEach((label, at) => columns.push({
      label, value: (row) => row[1][at], show: (row) => count(row[1][at]), minor: true, middle: at > 0 && at + 1 < labels.length,
    }));
    columns.push({ label: "Every time", value: (row) => (row[4] ? 1 : 0), show: (row) => (row[4] ? "yes" : ""), minor: true, middle: true });
    const box = table({ id: "growth-table", rows: data.growth, columns, sort: 1 });
    box.style.marginTop = "14px";
    main.lastChild.append(box);
  }

  // ---- where the bytes are

  function statistics() {
    const most = Math.max(...sittings.map((s) => s.total), 1);
    const stack = el("div.stack");
    sittings.forEach((s, at) => {
      const track = el("div.track", { role: "img", "aria-label": KINDS.map((kind, k) => kind + " " + bytes(s.parts[k])).join(", ") });
      track.style.width = Math.max(4, s.total * 100 / most) + "%";
      s.parts.forEach((part, kind) => {
        if (part <= 0) return;
        const piece = el("i.k" + SHADES[kind], { title: KINDS[kind] + ": " + bytes(part) });
        piece.style.flex = part + " 1 0";
        track.append(piece);
      });
      stack.append(el("div.bar-row", null, el("span.soft", null, sittings.length > 1 ? labels[at] : "heap"),
        el("span.num", null, bytes(s.total)), el("div", null, track)));
    });
    const legend = el("ul.legend");
    KINDS.forEach((kind, k) => {
      if (!sittings.some((s) => s.parts[k] > 0)) return;
      legend.append(el("li", null, el("i.k" + SHADES[k]), el("span", null, kind),
        el("span.num", null, bytes(last.parts[k])), el("span.num.soft", null, percent(last.parts[k], last.total))));
    });
    section("bytes", "Statistics", sittings.length > 1 ? "The list is of the last snapshot" : "", el("div.panel", null, stack, legend));
  }

  // ---- the map of the dominator tree

  const [LABEL, CLASS, ID, COUNT, RETAINED, SELF, REST, BELOW] = [0, 1, 2, 3, 4, 5, 6, 7];
  const label = (node) => (node[COUNT] > 1 ? count(node[COUNT]) + " × " + node[CLASS] : node[LABEL]);

  /** What is drawn inside of a node: what it dominates, what of that is not listed, and itself. */
  function pieces(node) {
    const list = node[BELOW].map((child) => ({ node: child, size: child[RETAINED], label: label(child) }));
    if (node[REST][1] > 0) list.push({ size: node[REST][1], label: count(node[REST][0]) + " smaller", rest: true });
    if (node[SELF] > 0 && list.length) list.push({ size: node[SELF], label: "itself", rest: true });
    return list.filter((piece) => piece.size > 0).sort((a, b) => b.size - a.size);
  }

  /** Squarified treemap (Bruls, Huizing, van Wijk 2000): rows along the shorter side, as square as they come. */
  function squarify(list, x, y, w, h, put) {
    let sum = list.reduce((all, piece) => all + piece.size, 0);
    let at = 0;
    while (at < list.length && w > 0.5 && h > 0.5 && sum > 0) {
      const side = Math.min(w, h), scale = w * h / sum;
      let row = 0, end = at, worst = Infinity;
      while (end < list.length) {
        const area = list[end].size * scale, next = row + area;
        const largest = list[at].size * scale;
        const ratio = Math.max(side * side * largest / (next * next), next * next / (side * side * area));
        if (ratio > worst) break;
        worst = ratio; row = next; end += 1;
      }
      const thick = row / side;
      let along = 0;
      for (; at < end; at += 1) {
        const area = list[at].size * scale, long = area / thick;
        if (w >= h) put(list[at], x, y + along, thick, long); else put(list[at], x + along, y, long, thick);
        along += long; sum -= list[at].size;
      }
      if (w >= h) { x += thick; w -= thick; } else { y += thick; h -= thick; }
    }
  }

  function treemap() {
    if (data.tree_size <= 0) return;
    const map = el("div.map", { role: "group", "aria-label": "Dominator tree" });
    const crumbs = el("div.crumbs", { role: "navigation", "aria-label": "Path in the dominator tree" });
    const about = el("p.about");
    let path = [data.tree];
    const tip = document.getElementById("tip");
    const said = (piece) => piece.rest ? piece.label + ", " + bytes(piece.size)
      : label(piece.node) + (piece.node[COUNT] === 1 ? " @" + piece.node[ID] + (piece.node[CLASS] === piece.node[LABEL] ? "" : ", " + piece.node[CLASS]) : "")
        + ", retains " + bytes(piece.size) + " (" + percent(piece.size, data.tree_size) + ")";

    function point(event, piece) {
      tip.textContent = said(piece);
      tip.hidden = false;
      const box = tip.getBoundingClientRect();
      tip.style.left = Math.max(4, Math.min(event.clientX + 14, innerWidth - box.width - 4)) + "px";
      tip.style.top = (event.clientY + 18 + box.height > innerHeight ? event.clientY - box.height - 10 : event.clientY + 18) + "px";
    }

    /** One level; `open` is the way to a piece of it. */
    function draw(parent, node, w, h, level, way) {
      squarify(pieces(node), 0, 0, w, h, (piece, x, y, width, height) => {
        if (width < 3 || height < 3) return;
        const can = !piece.rest && piece.node[BELOW].length > 0;
        const cell = el("div.cell.l" + level + (piece.rest ? ".rest" : "") + (can ? ".go" : ""));
        if (can) {
          const go = (event) => { event.stopPropagation(); event.preventDefault(); zoom([...way, piece.node]); };
          cell.addEventListener("click", go);
          // By the keyboard one level at a time.
          if (level === 1) {
            Object.assign(cell, { tabIndex: 0, role: "button", ariaLabel: said(piece) });
            cell.addEventListener("keydown", (event) => { if (event.key === "Enter" || event.key === " ") go(event); });
          }
        }
        // In parts of the whole, so that paper may be narrower than the screen.
        Object.assign(cell.style, { left: x * 100 / w + "%", top: y * 100 / h + "%", width: width * 100 / w + "%", height: height * 100 / h + "%" });
        cell.addEventListener("pointermove", (event) => { event.stopPropagation(); point(event, piece); });
        const tagged = width > 34 && height > 17;
        if (tagged) cell.append(el("span.tag", null, el("b", null, piece.label), width > 110 ? el("span", null, bytes(piece.size)) : null));
        if (can && level < LEVELS && width > 46 && height > 44) {
          const inner = el("div.cell.l" + (level + 1));
          Object.assign(inner.style, { left: "3px", top: "19px", right: "3px", bottom: "3px", border: "0", background: "none" });
          draw(inner, piece.node, width - 8, height - 24, level + 1, [...way, piece.node]);
          cell.append(inner);
        }
        parent.append(cell);
      });
    }
    function zoom(way) {
      path = way;
      const node = path[path.length - 1];
      tip.hidden = true;
      crumbs.replaceChildren(...path.flatMap((step, at) => {
        const here = at === path.length - 1;
        const crumb = el("button", { type: "button", on: { click: () => { if (!here) zoom(path.slice(0, at + 1)); } } }, at === 0 ? "whole heap" : label(step));
        if (here) crumb.setAttribute("aria-current", "true");
        return at ? [el("span.soft", null, "›"), crumb] : [crumb];
      }));
      const box = map.getBoundingClientRect(), focused = map.contains(document.activeElement);
      map.replaceChildren();
      draw(map, node, map.clientWidth || box.width, map.clientHeight || box.height, 1, path);
      if (focused) (map.querySelector("[tabindex]") || crumbs.lastChild).focus({ preventScroll: true });
      const more = path.length > 1 && node[COUNT] === 1 ? " @" + node[ID] : "";
      about.textContent = (path.length > 1 ? label(node) + more : "The whole heap") + " retains " + bytes(node[RETAINED])
        + (path.length > 1 ? " (" + percent(node[RETAINED], data.tree_size) + ")" : "")
        + (node[SELF] > 0 ? "; " + bytes(node[SELF]) + " of it " + (node[COUNT] > 1 ? "themselves" : "itself") : "");
    }
    map.addEventListener("pointerleave", () => { tip.hidden = true; });
    const out = (event) => { if (event.key === "Escape" && path.length > 1) zoom(path.slice(0, -1)); };
    map.addEventListener("keydown", out);
    crumbs.addEventListener("keydown", out);
    section("map", "Dominator tree", "What stands inside of something would be freed with it. A click goes in, Escape and the path above the map go out",
      el("div.panel", null, crumbs, map, about));
    zoom(path);
    let width = map.clientWidth;
    new ResizeObserver(() => {
      if (map.clientWidth !== width) { width = map.clientWidth; zoom(path); }
    }).observe(map);
  }

  // ---- suspects of the last snapshot

  function suspects() {
    const list = data.suspects;
    const about = list.length ? "What retains " + bytes(data.suspect_size) + " or more, and patterns that are known to leak, in " + (sittings.length > 1 ? "the last snapshot" : "this snapshot") : "";
    const none = "No object or class retains " + bytes(data.suspect_size) + " or more, and no known pattern was found.";
    const cards = list.slice(0, 12).map((s, at) => card(at + 1, s.title,
      [bytes(s.retained), percent(s.retained, last.total) + " of the heap"], [
        ["why", s.why],
        ["where", s.place ? place(s.place) : null],
        ["object", el("span", null, s.kind + ", ", name(s.class + " @" + s.id))],
        ["it holds", s.parts.length ? parts(s.parts) : null],
        ["kept alive by", story(s.story)],
      ], s.way));
    section("suspects", "Suspects", about, ...(cards.length ? cards : [el("p.panel", null, none)]));
  }

  // ---- tables

  /** A table that sorts by a click on a heading, filters by its text, and shows more rows when asked to. */
  function table({ id, rows, columns, sort, bare }) {
    let order = { by: sort, down: true }, shown = FIRST_ROWS, words = "";
    const texts = columns.filter((column) => column.text);
    const body = el("tbody");
    const note = el("span.soft");
    const more = el("button.quiet.more", { type: "button", on: { click: () => { shown += MORE_ROWS; fill(); } } });
    // On narrow screens.
    const hidden = (column) => (column.minor ? ".minor" : "") + (column.middle ? ".middle" : "");
    const heads = columns.map((column, at) => {
      const button = el("button", { type: "button", on: { click: () => {
        order = { by: at, down: order.by === at ? !order.down : !column.text };
        fill();
      } } }, column.label);
      return el("th" + (column.text ? "" : ".n") + hidden(column), { scope: "col" }, button);
    });
    function cell(column, row) {
      const minor = hidden(column);
      if (column.text) return el("td" + minor, null, column.prose ? column.text(row) : name(column.text(row) || "(empty)"));
      if (column.share) {
        const [part, whole] = column.share(row), bar = el("b");
        bar.style.width = Math.min(100, part * 100 / (whole || 1)) + "%";
        return el("td.share" + minor, null, el("span", null, percent(part, whole)), el("i", null, bar));
      }
      return el("td.n" + minor, null, column.show(row));
    }
    function fill() {
      const column = columns[order.by];
      const found = rows.filter((row) => !words || texts.some((one) => one.text(row).toLowerCase().includes(words)));
      const key = column.text || column.value, sign = order.down ? -1 : 1;
      found.sort((a, b) => {
        const x = key(a), y = key(b);
        return sign * (typeof x === "string" ? x.localeCompare(y) : x - y);
      });
      heads.forEach((head, at) => {
        if (at === order.by) head.setAttribute("aria-sort", order.down ? "descending" : "ascending");
        else head.removeAttribute("aria-sort");
      });
      body.replaceChildren(...found.slice(0, shown).map((row) => el("tr", null, ...columns.map((one) => cell(one, row)))));
      note.textContent = words ? count(found.length) + " of " + number_of(rows.length, "row", "rows") : number_of(rows.length, "row", "rows");
      more.hidden = found.length <= shown;
      more.textContent = "Show " + Math.min(MORE_ROWS, found.length - shown) + " more";
    }
    const filter = el("input", { type: "search", placeholder: "Filter", "aria-label": "Filter rows", on: { input: () => {
      words = filter.value.trim().toLowerCase(); shown = FIRST_ROWS; fill();
    } } });
    fill();
    return el("div", null,
      bare || rows.length < 8 ? null : el("div.bar-of-tools", null, filter, note),
      el("div.scroll", { tabIndex: 0, role: "region", "aria-label": "Table" }, el("table", { id }, el("thead", null, el("tr", null, ...heads)), body)), more);
  }

  function classes() {
    const left_out = data.class_count - data.classes.length;
    section("classes", "Classes", left_out > 0 ? "The " + data.classes.length + " that retain most, of " + count(data.class_count) : "",
      table({
        id: "class-table", rows: data.classes, sort: 3,
        columns: [
          { label: "Class", text: (row) => row[0] },
          { label: "Objects", value: (row) => row[1], show: (row) => count(row[1]) },
          { label: "Shallow size", value: (row) => row[2], show: (row) => bytes(row[2]), minor: true },
          { label: "Retained size", value: (row) => row[3], show: (row) => bytes(row[3]) },
          { label: "of the heap", value: (row) => row[3], share: (row) => [row[3], last.total], minor: true },
        ],
      }));
  }
  function strings() {
    if (!data.strings.length) return;
    section("strings", "Duplicate strings", "Keeping one of each would save " + bytes(data.wasted)
      + (data.string_count > data.strings.length ? "; the first " + data.strings.length + " of " + count(data.string_count) : ""),
      table({
        id: "string-table", rows: data.strings, sort: 3,
        columns: [
          { label: "Text", text: (row) => row[0] },
          { label: "Times", value: (row) => row[1], show: (row) => count(row[1]) },
          { label: "Shallow size", value: (row) => row[2], show: (row) => bytes(row[2]), minor: true },
          { label: "To be saved", value: (row) => row[4], show: (row) => bytes(row[4]) },
        ],
      }));
  }
  function shares(id, heading, about, rows, by_file) {
    if (!rows.length) return;
    const columns = [
      { label: "Package", text: (row) => row[0], minor: by_file },
      { label: "Objects", value: (row) => row[2], show: (row) => count(row[2]), minor: true },
      { label: "Size", value: (row) => row[3], show: (row) => bytes(row[3]) },
      { label: "of the heap", value: (row) => row[3], share: (row) => [row[3], last.total] },
      { label: "Retained size", value: (row) => row[4], show: (row) => bytes(row[4]), minor: true },
    ];
    if (by_file) columns.unshift({ label: "File", text: (row) => row[1] || row[0] });
    section(id, heading, about, table({ id: id + "-table", rows, columns, sort: by_file ? 3 : 2 }));
  }

  // ---- light and dark

  function theme() {
    const root = document.documentElement, button = document.getElementById("theme");
    const dark = () => (root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches);
    const say = () => { button.textContent = dark() ? "Light" : "Dark"; button.setAttribute("aria-label", "Switch to the " + (dark() ? "light" : "dark") + " theme"); };
    button.addEventListener("click", () => { root.dataset.theme = dark() ? "light" : "dark"; say(); });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", say);
    say();
  }

  theme();
  titled();
  verdict();
  growth();
  statistics();
  treemap();
  suspects();
  classes();
  strings();
  shares("packages", "Packages", "Each byte is counted once", data.packages, false);
  shares("files", "Files", "Each byte is counted once", data.files, true);
  document.getElementById("foot").append(el("p", null,
    "Sizes are in units of 1,024 bytes. Retained size is what would be freed with an object, or with all objects of a class. Made by Heapsight "
    + data.version + " from " + number_of(data.names.length, "snapshot", "snapshots") + "; this file makes no request to the network, and quotes text from the heap."));
})();
