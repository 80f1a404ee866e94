// Questions to the server.
// @ts-check

/** @typedef {{what: string, hint: string | null}} Wrong */
/** @typedef {{id: number, name: string, path: string, kind: string, origin: string, state: string, size: number | null,
 *   modified_ms: number | null, gone: boolean, nodes?: number, edges?: number, total_size?: number, damage?: number,
 *   bytes?: number, length?: number | null, phase?: string, what?: string, hint?: string | null}} File */
/** @typedef {{version: string, read_only: boolean, beat_ms: number, files: File[], filters: {name: string, what: string}[],
 *   target?: string | null, folder?: string}} Session */
/** @typedef {{url: string, line: number, column: number, package: string | null} | null} Place */
/** @typedef {Record<string, any>} Row */
/** @typedef {{total: number, rows: Row[], [more: string]: any}} Rows */
/** @typedef {Record<string, string | number | boolean | null | undefined>} Params */

/** An answer that says why there is none. */
export class ApiError extends Error {
  /** @param {string} what @param {string | null} hint @param {number} status */
  constructor(what, hint, status) {
    super(what);
    this.hint = hint;
    this.status = status;
  }
}

/** The address of a question. @param {string} path @param {Params} [params] @returns {string} */
export function address(path, params = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) {
    if (value === null || value === undefined || value === '' || value === false) continue;
    query.set(name, String(value));
  }
  const text = query.toString();
  return `/api/${path}${text ? `?${text}` : ''}`;
}

/**
 * Asks.
 * @param {string} path @param {Params} [params] @param {RequestInit} [init]
 * @returns {Promise<any>}
 */
export async function ask(path, params = {}, init = {}) {
  let response;
  try {
    response = await fetch(address(path, params), init);
  } catch (error) {
    if (error instanceof DOMException && error.name === 'AbortError') throw error;
    throw new ApiError('the server does not answer', 'has `heapsight open` ended? Start it again', 0);
  }
  const body = await response.json().catch(() => ({}));
  if (!response.ok) {
    const wrong = body.error ?? { what: `the server answered ${response.status}`, hint: null };
    throw new ApiError(wrong.what, wrong.hint, response.status);
  }
  return body;
}

/** Asks for a change. @param {string} path @param {unknown} [body] @param {Params} [params] @returns {Promise<any>} */
export function tell(path, body, params = {}) {
  return ask(path, params, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: body === undefined ? null : JSON.stringify(body),
  });
}

/**
 * Hears events until told to stop.
 * @param {string} path @param {(value: any) => boolean} hear gives false to end
 * @returns {() => void} ends it
 */
export function listen(path, hear) {
  const source = new EventSource(address(path));
  source.addEventListener('message', (event) => {
    if (!hear(JSON.parse(event.data))) source.close();
  });
  return () => source.close();
}
