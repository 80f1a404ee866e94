// Elements, made of names, attributes and text. Text is only ever the content of a text node, and what could not be seen of it
// is written out; lines are kept in `pre` alone.
// @ts-check

import { visible } from './format.js';

/** @typedef {string | number | Node | null | undefined | false} Child */
/** @typedef {Record<string, string | number | boolean | undefined | ((event: any) => void)>} Attributes */

/**
 * An element. Attributes that begin with `on` are listeners; `true` is an empty attribute, `false` none.
 * @param {string} name tag, with classes after dots
 * @param {Attributes | null} [attributes]
 * @param {...(Child | Child[])} children
 * @returns {HTMLElement}
 */
export function el(name, attributes, ...children) {
  const [tag, ...classes] = name.split('.');
  const element = document.createElement(tag || 'div');
  if (classes.length > 0) element.className = classes.join(' ');
  set(element, attributes ?? {});
  add(element, children);
  return element;
}

/**
 * An SVG element.
 * @param {string} name
 * @param {Attributes | null} [attributes]
 * @param {...(Child | Child[])} children
 * @returns {SVGElement}
 */
export function svg(name, attributes, ...children) {
  const [tag = 'g', ...classes] = name.split('.');
  const element = /** @type {SVGElement} */ (document.createElementNS('http://www.w3.org/2000/svg', tag));
  if (classes.length > 0) element.setAttribute('class', classes.join(' '));
  set(element, attributes ?? {});
  add(element, children);
  return element;
}

/** @param {Element} element @param {Attributes} attributes */
function set(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === 'function') element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, '');
    else if (value !== false && value !== undefined) element.setAttribute(name, String(value));
  }
}

/** @param {Element} element @param {(Child | Child[])[]} children */
export function add(element, children) {
  for (const child of children.flat()) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : element instanceof HTMLPreElement ? String(child) : visible(String(child)));
  }
}

/** Lines of text below each other. @param {string} text @returns {Child[]} */
export function lines(text) {
  return text.trimEnd().split('\n').flatMap((line, at) => at > 0 ? [el('br'), line] : [line]);
}

/** Replaces what is in an element. @param {Element} element @param {...(Child | Child[])} children */
export function fill(element, ...children) {
  element.replaceChildren();
  add(element, children);
}

/**
 * A function that runs when nobody has called it for a while.
 * @template {unknown[]} A
 * @param {(...args: A) => void} work @param {number} ms
 * @returns {(...args: A) => void}
 */
export function settled(work, ms) {
  let timer = 0;
  return (...args) => {
    clearTimeout(timer);
    timer = window.setTimeout(() => work(...args), ms);
  };
}
