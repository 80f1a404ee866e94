// Evaluated in the target: loads the addon once per isolate and keeps it where the next capture finds it.
//
// `place` is where: a symbol's name with the addon's digest. `path` is a path of the addon as the target sees it, or
// null; `bytes` the addon in base64, or null, to be written to the first folder that takes it and removed at once, within
// this one evaluation, so that nothing is left if the capturing process dies.
(function (place, path, bytes) {
  'use strict';
  const about = { pid: typeof process === 'object' ? process.pid : 0 };
  const unsupported = (why) => Object.assign(about, { unsupported: why });
  if (typeof Deno !== 'undefined') return unsupported('it is Deno');
  if (typeof Bun !== 'undefined') return unsupported('it is Bun');
  if (typeof process !== 'object' || !process.versions || !process.versions.node) return unsupported('it is not Node.js');
  if (process.versions.electron) return unsupported('it is Electron');
  about.version = process.version;
  if (process.platform !== 'linux') return unsupported('it runs on ' + process.platform);
  if (parseInt(process.versions.node, 10) < 16) return unsupported('it is Node.js ' + process.version + ', older than 16');

  const symbol = Symbol.for(place);
  if (process[symbol]) return Object.assign(about, { loaded: true });
  if (typeof process.dlopen !== 'function') return unsupported('it has no process.dlopen');
  if (process.permission && !(process.permission.has('fs.write') && process.permission.has('fs.read'))) {
    return unsupported('its permission model forbids writing files');
  }

  // The inspector's command line API has `require`, in ES modules too; newer versions do without.
  const builtin = (name) => {
    if (typeof process.getBuiltinModule === 'function') return process.getBuiltinModule(name);
    if (typeof require === 'function') return require(name);
    if (process.mainModule && typeof process.mainModule.require === 'function') return process.mainModule.require(name);
    return undefined;
  };
  const v8 = builtin('v8');
  if (!v8 || typeof v8.writeHeapSnapshot !== 'function') return unsupported('it has no v8.writeHeapSnapshot');
  const write = v8.writeHeapSnapshot;

  const failures = [];
  let addon;
  const open = (file) => {
    const module = { exports: {} };
    try {
      process.dlopen(module, file);
    } catch (error) {
      if (error && error.code === 'ERR_DLOPEN_DISABLED') throw error;
      failures.push(String((error && error.message) || error).split('\n')[0]);
      return;
    }
    if (typeof module.exports.fork === 'function') addon = module.exports;
    else failures.push(file + ' was loaded without effect');
  };
  const spill = (fs, folder, data) => {
    const file = folder + '/heapsight-' + process.pid + '-' + Math.random().toString(36).slice(2) + '.node';
    let descriptor;
    try {
      descriptor = fs.openSync(file, 'wx', 0o600);
    } catch (error) {
      failures.push(String((error && error.message) || error));
      return;
    }
    try {
      try {
        for (let at = 0; at < data.length; ) at += fs.writeSync(descriptor, data, at);
      } finally {
        fs.closeSync(descriptor);
      }
      open(file);
    } catch (error) {
      if (error && error.code === 'ERR_DLOPEN_DISABLED') throw error;
      failures.push(String((error && error.message) || error));
    } finally {
      fs.unlinkSync(file);
    }
  };
  try {
    if (path) open(path);
    if (!addon && bytes) {
      const fs = builtin('fs');
      const data = Buffer.from(bytes, 'base64');
      const folders = [process.env.TMPDIR, '/tmp', '/var/tmp', '/dev/shm', '/run', process.cwd()];
      for (const folder of new Set(folders)) {
        if (folder && !addon) spill(fs, folder, data);
      }
    }
  } catch (error) {
    return unsupported(String((error && error.message) || error));
  }
  if (!addon) return Object.assign(about, { failures });

  const numbers = new Float64Array(12);
  let kept = false;
  const value = {
    // In the parent: what happened, as numbers. In the child: never returns.
    fork(track, known) {
      const child = addon.fork(track ? 1 : 0, numbers, Float64Array.from(known || []));
      if (child === 0) {
        let why;
        for (const folder of ['/proc/self/fd/', '/dev/fd/']) {
          try {
            write(folder + numbers[5]);
            addon.end('');
          } catch (error) {
            if (why === undefined) why = String((error && error.message) || error);
            // Only what was not begun can be begun elsewhere.
            if (!error || error.code !== 'ENOENT') break;
          }
        }
        addon.end(why);
      }
      kept = kept || (track && child > 0);
      return { child, kept, numbers: Array.from(numbers) };
    },
    ended: addon.ended,
    forget() {
      kept = false;
      return addon.forget();
    },
  };
  Object.defineProperty(process, symbol, { value: Object.freeze(value), configurable: true });
  return Object.assign(about, { loaded: true });
})
