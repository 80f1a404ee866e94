// Numbers for people, as the commands print them.
// @ts-check

const UNITS = ['KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

/** Bytes with a unit: `17 B`, `1.2 KiB`. @param {number} n @returns {string} */
export function bytes(n) {
  if (n < 0) return `-${bytes(-n)}`;
  if (n < 1024) return `${Math.round(n)} B`;
  let value = n / 1024;
  let unit = 0;
  while (value >= 1023.95 && unit + 1 < UNITS.length) {
    value /= 1024;
    unit += 1;
  }
  return `${value.toFixed(1)} ${UNITS[unit]}`;
}

/**
 * Bytes that were estimated: as many digits as their relative standard error lets stand, two for 10 %, and one beyond a
 * third. Without an error like `bytes`.
 * @param {number} n @param {number | null | undefined} error @returns {string}
 */
export function estimate(n, error) {
  if (error === null || error === undefined || error < 0.003 || n <= 0) return bytes(n);
  const digits = error >= 0.3 ? 1 : error >= 0.03 ? 2 : 3;
  let value = n;
  let unit = 0;
  while (value >= 1024 && unit < UNITS.length) {
    value /= 1024;
    unit += 1;
  }
  const whole = value >= 1 ? Math.floor(Math.log10(value)) + 1 : 0;
  const step = 10 ** (whole - digits);
  return `${(Math.round(value / step) * step).toFixed(Math.max(0, digits - whole))} ${unit === 0 ? 'B' : UNITS[unit - 1]}`;
}

/** A relative standard error: `±25 %`; nothing if it is not known. @param {number | null | undefined} error @returns {string} */
export function plusMinus(error) {
  if (error === null || error === undefined) return '';
  return `±${(error * 100).toFixed(error >= 0.0995 ? 0 : 1)} %`;
}

/** Characters that cannot be seen, or that change what is seen around them; all spaces but the usual one. */
const UNSEEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Zl}\p{Zp}]|(?! )\p{Zs}/u;
const EACH_UNSEEN = new RegExp(UNSEEN, 'gu');
/** @type {Record<string, string>} */
const SHORT = { '\0': '\\0', '\t': '\\t', '\n': '\\n', '\r': '\\r' };

/** Text with what cannot be seen written as the commands write it: `\n`, `\u{7}`. @param {string} text @returns {string} */
export function visible(text) {
  if (!UNSEEN.test(text)) return text;
  return text.replace(EACH_UNSEEN, (c) => SHORT[c] ?? `\\u{${(c.codePointAt(0) ?? 0).toString(16)}}`);
}

/** A string in quotes. @param {string} text @returns {string} */
export function quoted(text) {
  return `"${visible(text.replace(/["\\]/g, '\\$&'))}"`;
}

/** A sentence of its own, from one that was part of a line. @param {string} text @returns {string} */
export function sentence(text) {
  if (text === '') return text;
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? '' : '.'}`;
}

/** @param {number} n @returns {string} */
export function signedBytes(n) {
  return n > 0 ? `+${bytes(n)}` : bytes(n);
}

/** A count with its thousands apart. @param {number} n @returns {string} */
export function count(n) {
  return String(Math.round(n)).replace(/\B(?=(\d{3})+(?!\d))/g, ',');
}

/** @param {number} n @returns {string} */
export function signedCount(n) {
  return n > 0 ? `+${count(n)}` : count(n);
}

/** @param {number} part @param {number} whole @returns {string} */
export function percent(part, whole) {
  if (whole === 0) return '0 %';
  const value = (part * 100) / whole;
  return value === 0 || Math.abs(value) >= 9.95 ? `${value.toFixed(0)} %` : `${value.toFixed(1)} %`;
}

/** A packed distance. @param {number} packed @returns {string} */
export function distance(packed) {
  return packed < 0 || packed >= 100_000_000 ? '–' : String(packed);
}

/** @param {number} n @param {string} one @param {string} many @returns {string} */
export function numberOf(n, one, many) {
  return `${count(n)} ${n === 1 ? one : many}`;
}

/** @param {number} ms @returns {string} */
export function time(ms) {
  if (ms < 1000) return `${ms.toFixed(0)} ms`;
  const s = ms / 1000;
  return s < 100 ? `${s.toFixed(1)} s` : `${Math.floor(s / 60)} min ${Math.round(s % 60)} s`;
}

/** How long ago. @param {number} ms since 1970 @returns {string} */
export function ago(ms) {
  const s = Math.max(0, (Date.now() - ms) / 1000);
  if (s < 60) return 'just now';
  if (s < 3600) return `${Math.floor(s / 60)} min ago`;
  if (s < 86_400) return `${Math.floor(s / 3600)} h ago`;
  return new Date(ms).toISOString().slice(0, 10);
}

/** The last part of a path or URL. @param {string} url @returns {string} */
export function fileName(url) {
  return url.split(/[/\\]/).pop() || url;
}
