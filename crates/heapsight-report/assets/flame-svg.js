'use strict';
// Zoom, search and sizes of a flame graph in a browser. Frames are read off the picture: nothing else is needed.
(() => {
  const svg = document.getElementById('heapsight-flame');
  const told = document.getElementById('told');
  const reset = document.getElementById('reset');
  const search = document.getElementById('search');
  const LETTER = 7.25, NARROWEST = 0.3;
  if (document.documentElement === svg) svg.setAttribute('width', '100%');
  const frames = Array.from(svg.querySelectorAll('g.f'), (group) => {
    const [title, rect, text] = group.children;
    const about = title.textContent;
    group.setAttribute('tabindex', '-1');
    return {
      group, rect, text, about, label: about.split('\n', 1)[0].replace('  ', ' '),
      x: parseFloat(rect.getAttribute('x')) / 100, width: parseFloat(rect.getAttribute('width')) / 100,
      y: +rect.getAttribute('y'),
    };
  });
  let zoomed = frames[0];
  const SLACK = 1e-6;

  const percent = (part) => `${(part * 100).toFixed(4)}%`;
  const draw = () => {
    const pixels = svg.getBoundingClientRect().width || 1200;
    for (const frame of frames) {
      const above = frame.y < zoomed.y;
      const holds = frame.x <= zoomed.x + SLACK && frame.x + frame.width >= zoomed.x + zoomed.width - SLACK;
      const inside = frame.x >= zoomed.x - SLACK && frame.x + frame.width <= zoomed.x + zoomed.width + SLACK;
      let x = (frame.x - zoomed.x) / zoomed.width, width = frame.width / zoomed.width;
      if (above && holds) [x, width] = [0, 1];
      const shown = (above ? holds : inside) && width * pixels >= NARROWEST;
      frame.group.classList.toggle('off', !shown);
      frame.group.classList.toggle('above', above && holds);
      if (!shown) continue;
      frame.rect.setAttribute('x', percent(x));
      frame.rect.setAttribute('width', percent(width));
      frame.text.setAttribute('x', percent(x));
      const letters = Math.floor((width * pixels - 4) / LETTER);
      frame.text.textContent = frame.label.length <= letters ? frame.label
        : letters < 4 ? '' : `${frame.label.slice(0, letters - 1)}…`;
    }
    reset.classList.toggle('off', zoomed === frames[0]);
  };
  const zoom = (frame) => { zoomed = frame; draw(); };
  const say = (text) => { told.textContent = text; };
  const find = () => {
    const wanted = search.value.trim().toLowerCase();
    svg.classList.toggle('searching', wanted !== '');
    // A frame below one that was found is a part of it already.
    let found = 0, count = 0, end = -1;
    const order = frames.slice().sort((a, b) => a.x - b.x || a.y - b.y);
    for (const frame of order) {
      const fits = wanted !== '' && frame.about.toLowerCase().includes(wanted);
      frame.group.classList.toggle('found', fits);
      if (!fits) continue;
      count += 1;
      if (frame.x >= end - SLACK) { found += frame.width; end = frame.x + frame.width; }
    }
    say(wanted === '' ? '' : `${count} frames found, ${(found * 100).toFixed(1)} % of all bytes`);
  };
  const of = (event) => frames.find((frame) => frame.group === event.target.closest('g.f'));
  svg.addEventListener('click', (event) => {
    if (event.target === reset) return zoom(frames[0]);
    const frame = of(event);
    if (frame) zoom(frame);
  });
  svg.addEventListener('mouseover', (event) => {
    const frame = of(event);
    if (frame) say(frame.about.split('\n').join('   '));
  });
  svg.addEventListener('keydown', (event) => {
    if (event.key === 'Enter' && event.target === reset) zoom(frames[0]);
    if (event.key === 'Enter' && event.target.matches('g.f')) zoom(of(event));
  });
  document.addEventListener('keydown', (event) => {
    if (event.key === 'Escape') {
      search.value = '';
      find();
      zoom(frames[0]);
    } else if (event.key === '/' && document.activeElement !== search) {
      event.preventDefault();
      search.focus();
    }
  });
  search.addEventListener('input', find);
  addEventListener('resize', draw);
  draw();
})();
