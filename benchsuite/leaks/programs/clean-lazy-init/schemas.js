'use strict';

const validators = new Map();

/** The check for a kind of message, made when it is needed for the first time. */
function validator(name) {
  let check = validators.get(name);
  if (!check) {
    const fields = ['text', 'farewell', 'turn'];
    const lines = fields.map((field) => `if (!(${JSON.stringify(field)} in value)) return false;`);
    check = new Function('value', `${lines.join('\n')}\nreturn true; // ${name}`);
    validators.set(name, check);
  }
  return check;
}

module.exports = { validator };
