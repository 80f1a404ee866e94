'use strict';
// The inspector of this thread, from inside: no port is opened.
//
// There is one session and it stays: V8 forgets the ids of objects whenever a session ends, whoever's it is.

const { Session } = require('inspector');
const { HeapsightError } = require('./errors.js');

let session;

function connected() {
  if (!session) {
    const opened = new Session();
    opened.connect();
    session = opened;
  }
  return session;
}

/** The answer to a command. Events that it brings come before the answer. */
function ask(method, params) {
  return new Promise((resolve, reject) => {
    connected().post(method, params, (error, answer) => {
      if (error) reject(new HeapsightError('INSPECTOR', `${method}: ${error.message}`));
      else resolve(answer);
    });
  });
}

/** Has `handler` called with the parameters of an event while `work` runs. */
async function listening(event, handler, work) {
  const listener = ({ params }) => handler(params);
  connected().on(event, listener);
  try {
    return await work();
  } finally {
    session.removeListener(event, listener);
  }
}

/** The scripts of this isolate, by number: snapshots name them by number alone. */
async function scripts() {
  const found = [];
  const seen = ({ scriptId, url, sourceMapURL }) => {
    const map = sourceMapURL || null;
    found.push({
      id: Number(scriptId),
      url: url.slice(0, 4096),
      // Of a map inside of the script its kind is of use; the content is in the script.
      source_map_url: map && (map.startsWith('data:') ? map.slice(0, map.indexOf(',') + 1) : map.slice(0, 4096)),
    });
  };
  await listening('Debugger.scriptParsed', seen, () => ask('Debugger.enable'));
  await ask('Debugger.disable');
  return found.sort((a, b) => a.id - b.id);
}

module.exports = { ask, listening, scripts };
