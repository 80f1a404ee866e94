'use strict';
// One type for all that can fail here; `code` says which.

class HeapsightError extends Error {
  /** `code` is what follows `ERR_HEAPSIGHT_`; `more` becomes properties. */
  constructor(code, message, more) {
    super(message);
    this.name = 'HeapsightError';
    this.code = `ERR_HEAPSIGHT_${code}`;
    Object.assign(this, more);
  }
}

module.exports = { HeapsightError };
