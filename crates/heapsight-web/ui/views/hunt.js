// The verdict of a leak hunt.
// @ts-check

import { bars } from '../charts.js';
import { el } from '../dom.js';
import { bytes, count, numberOf, sentence, signedBytes } from '../format.js';
import { placeLink } from './summary.js';

/** @param {import('../app.js').Context} context @param {Record<string, any>} job @returns {HTMLElement} */
export function verdict(context, job) {
  const all = job.result;
  const last = job.files[job.files.length - 1];
  const list = all.suspects;
  return el('div', null,
    el('p.lead', null, list.length === 0 ? 'No leak found.' : `${numberOf(list.length, 'leak', 'leaks')} found.`,
      ` ${numberOf(all.rounds.length, 'round', 'rounds')}, total size ${bytes(all.total_sizes[0] ?? 0)} to ${bytes(all.total_sizes[all.total_sizes.length - 1] ?? 0)}.`),
    list.map((/** @type {any} */ one) => el('article.card', null,
      el('header', null, el('h3', null, el('span.rank', null, `#${one.rank}`), ' ', one.title), el('span.size', null, signedBytes(one.size_growth), el('span.dim', null, ` in ${numberOf(all.rounds.length, 'round', 'rounds')}`))),
      el('p', null, sentence(one.why)),
      el('div.growth', null, bars(one.counts.length > 0 ? one.counts : one.sizes, 'Gained in each round', one.counts.length > 0 ? count : bytes),
        el('span.dim', null, `gained in each round: ${(one.counts.length > 0 ? one.counts.map(count) : one.sizes.map(bytes)).join(', ')}${one.per_request ? `; ${one.per_request.toFixed(2)} for each request` : ''}`)),
      one.story?.length > 0 ? el('ol.story', null, one.story.map((/** @type {any} */ hop) => hop.library ? el('li.library', null, `… ${count(hop.count)} steps in ${hop.library}`) : el('li', null, hop.text))) : null,
      one.allocated_in ? el('p', null, 'Allocated in ', el('code', null, one.allocated_in.function || '(anonymous)'), ' ', placeLink(one.allocated_in.location)) : null,
      el('p', null, one.location ? ['Source: ', placeLink(one.location) ?? '', ' · '] : null,
        el('a', { href: context.href('summary', { node: `@${one.holder_id}` }, last) }, `Object @${one.holder_id}`)))),
    all.set_aside.length > 0 ? el('details', null, el('summary', null, `Grew, too, and is no suspect: ${count(all.set_aside.length)}`),
      el('ul', null, all.set_aside.map((/** @type {any} */ aside) => el('li', null, `${aside.title}: ${signedBytes(aside.size)} `, el('span.dim', null, aside.reason))))) : null,
    el('p', null, 'Snapshots: ', job.files.map((/** @type {number} */ id, /** @type {number} */ at) => [at > 0 ? ' · ' : '', el('a', { href: `/f/${id}/` }, at === 0 ? 'before' : `after round ${at}`)]).flat(),
      last === undefined ? null : [' · ', el('a', { href: context.href('comparison', { base: job.files[0] }, last) }, 'compare first and last')]));
}
