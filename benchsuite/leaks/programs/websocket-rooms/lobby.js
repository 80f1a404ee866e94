'use strict';

const { randomUUID } = require('node:crypto');

const HISTORY = 50;

class Member {
  constructor(socket) {
    this.id = randomUUID();
    this.name = `guest-${this.id.slice(0, 4)}`;
    this.socket = socket;
    this.joined = Date.now();
    this.said = 0;
  }

  send(message) {
    if (this.socket.readyState === 1) this.socket.send(message);
  }
}

class Room {
  constructor(name) {
    this.name = name;
    this.members = new Map();
    this.history = [];
    this.present = 0;
  }

  join(socket) {
    const member = new Member(socket);
    this.members.set(member.id, member);
    this.present += 1;
    return member;
  }

  leave(socket) {
    this.members.delete(socket);
    this.present -= 1;
  }

  say(author, text) {
    author.said += 1;
    const message = JSON.stringify({ room: this.name, from: author.name, text: text.slice(0, 500) });
    this.history.push(message);
    if (this.history.length > HISTORY) this.history.shift();
    for (const member of this.members.values()) member.send(message);
  }
}

class Lobby {
  #rooms = new Map();

  room(name) {
    let room = this.#rooms.get(name);
    if (!room) this.#rooms.set(name, (room = new Room(name)));
    return room;
  }

  status() {
    return [...this.#rooms.values()].map((room) => ({ name: room.name, present: room.present }));
  }
}

module.exports = { Lobby, Room, Member };
