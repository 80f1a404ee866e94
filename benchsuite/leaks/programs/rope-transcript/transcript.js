'use strict';

class Transcript {
  constructor(room) {
    this.room = room;
    this.text = '';
  }

  add(who, what) {
    this.text += `${new Date().toISOString()} ${who}: ${what}\n`;
  }
}

module.exports = { Transcript };
