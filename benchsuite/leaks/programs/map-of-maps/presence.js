'use strict';

const rooms = new Map();

function people(room) {
  if (!rooms.has(room)) rooms.set(room, new Map());
  return rooms.get(room);
}

function enter(room, person, agent) {
  people(room).set(person, { since: Date.now(), agent, status: 'here', typing: false });
}

function leave(room, person) {
  people(room).delete(person);
}

function count(room) {
  return people(room).size;
}

module.exports = { enter, leave, count };
