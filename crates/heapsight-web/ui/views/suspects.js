// Suspects: what looks like a leak in one snapshot.
// @ts-check

import { ask } from '../api.js';
import { el, fill } from '../dom.js';
import { bytes, count, numberOf, percent, sentence } from '../format.js';
import { wrong } from './common.js';
import { placeLink } from './summary.js';

/** @param {import('../app.js').Context} context @returns {import('../app.js').View} */
export function suspects(context) {
  const element = el('div.page', null, el('p.quiet', null, 'Looking for what accumulates…'));
  ask(`files/${context.file}/suspects`).then((all) => {
    const list = all.suspects;
    if (list.length === 0) {
      fill(element, el('h1', null, 'No suspects'),
        el('p', null, `Nothing retains more than ${bytes(all.least_size ?? 0)}, and no pattern that is known to leak was found.`),
        el('p.dim', null, 'One snapshot says what is large, not what grows: a leak hunt does.'));
      return;
    }
    fill(element, el('h1', null, numberOf(list.length, 'suspect', 'suspects')),
      el('p.lead', null, 'One snapshot says what is large, not what grows.'),
      list.map((/** @type {any} */ one) => card(one, all.total_size)));
  }, (error) => fill(element, wrong(error)));

  /** @param {any} one @param {number} whole */
  function card(one, whole) {
    const parts = one.parts ?? [];
    return el('article.card', null,
      el('header', null, el('h2', null, el('span.rank', null, `#${one.rank}`), ' ', one.title), el('span.size', null, bytes(one.retained_size), ' ', el('span.dim', null, percent(one.retained_size, whole)))),
      el('p', null, sentence(one.why)),
      parts.length > 0 ? el('p.dim', null, 'Most of it: ', parts.slice(0, 4).map((/** @type {any} */ part, /** @type {number} */ at) => `${at > 0 ? ', ' : ''}${count(part.count)} × ${part.class} (${bytes(part.retained_size)})`).join(''), '.') : null,
      el('h3', null, 'Kept alive by'),
      el('ol.story', null, (one.story ?? []).map((/** @type {any} */ hop) => hop.library ? el('li.library', null, `… ${count(hop.count)} steps in ${hop.library}`) : el('li', null, hop.text))),
      el('p', null, one.location ? ['Source: ', placeLink(one.location) ?? '', ' · '] : null,
        el('a', { href: context.href('summary', { node: `@${one.holder_id}` }) }, `Object @${one.holder_id}`), ' · ',
        el('a', { href: context.href('summary', { class: one.class }) }, `Class ${one.class}`)));
  }
  return { element };
}
