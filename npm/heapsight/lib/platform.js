'use strict';
// The package of this platform: the binary, and the addon of fork snapshots.

const fs = require('fs');
const path = require('path');
const { HeapsightError } = require('./errors.js');

const name = `@heapsight/${process.platform}-${process.arch}`;

/** Platforms that have a package; all of them are optional dependencies of this one, at its own version. */
const PLATFORMS = Object.keys(require('../package.json').optionalDependencies || {});

/** The folder of the platform's package. */
function folder() {
  try {
    return path.dirname(require.resolve(`${name}/package.json`));
  } catch (error) {
    if (PLATFORMS.length && !PLATFORMS.includes(name)) {
      const known = PLATFORMS.map((platform) => platform.replace('@heapsight/', '')).join(', ');
      throw new HeapsightError(
        'UNSUPPORTED',
        `there is no binary for ${process.platform} on ${process.arch} (there is for ${known})\n` +
          'hint: build it with Cargo, and set HEAPSIGHT_BINARY to its path',
      );
    }
    throw new HeapsightError(
      'UNSUPPORTED',
      `the package ${name} is not installed\n` +
        'hint: install without --no-optional (--omit=optional), on the platform where it is to run; or set ' +
        'HEAPSIGHT_BINARY to the path of a binary',
    );
  }
}

/** A path from the environment, or one in the platform's package. */
function find(variable, file) {
  const override = process.env[variable];
  const found = override || path.join(folder(), file);
  if (!fs.existsSync(found)) {
    const where = override ? `${variable} names ${found}` : `the package ${name} should have ${found}`;
    throw new HeapsightError('UNSUPPORTED', `${where}, which does not exist`);
  }
  return found;
}

/** The binary: `HEAPSIGHT_BINARY`, or that of the platform's package. */
const binary = () => find('HEAPSIGHT_BINARY', process.platform === 'win32' ? 'heapsight.exe' : 'heapsight');

/** The addon of fork snapshots: `HEAPSIGHT_ADDON`, or that of the platform's package. */
const addon = () => find('HEAPSIGHT_ADDON', 'heapsight_fork.node');

module.exports = { binary, addon, name };
