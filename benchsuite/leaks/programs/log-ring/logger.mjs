const LEVELS = ['debug', 'info', 'warn', 'error'];

class RecentLines {
  constructor(limit) {
    this.limit = limit;
    this.lines = [];
  }

  add(line) {
    this.lines.push(line);
    if (this.lines.length > this.limit) {
      this.lines.slice(-this.limit);
    }
  }

  last(count) {
    return this.lines.slice(-count);
  }
}

/** A logger that prints errors and has the most recent lines of every level at hand. */
export function createLogger({ keep, level }) {
  const recent = new RecentLines(keep);
  const lowest = LEVELS.indexOf(level);

  const at = (name) => (message, details = {}) => {
    if (LEVELS.indexOf(name) < lowest) return;
    const line = { at: new Date(), level: name, message, details };
    recent.add(line);
    if (name === 'error') console.error(message, details);
  };

  return {
    ...Object.fromEntries(LEVELS.map((name) => [name, at(name)])),
    tail: (count) => recent.last(count).map((l) => `${l.at.toISOString()} ${l.level} ${l.message}`),
  };
}
