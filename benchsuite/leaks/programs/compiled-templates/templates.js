'use strict';

const entities = { '&': '&amp;', '<': '&lt;', '>': '&gt;' };
const escape = (value) => String(value).replace(/[&<>]/g, (character) => entities[character]);

function compile(source) {
  const parts = source.split(/\{\{(\w+)\}\}/);
  const steps = parts.map((part, index) => (index % 2 === 0 ? () => part : (data) => escape(data[part] ?? '')));
  return (data) => steps.map((step) => step(data)).join('');
}

/** Compiles each template once. */
class Templates {
  constructor() {
    this.compiled = Object.create(null);
    this.compilations = 0;
  }

  get(source) {
    if (!(source in this.compiled)) {
      this.compilations += 1;
      this.compiled[source] = compile(source);
    }
    return this.compiled[source];
  }

  render(source, data) {
    return this.get(source)(data);
  }
}

module.exports = { Templates };
