// Packs the npm packages: `node npm/pack.mjs --out FOLDER --version V --platform linux-x64 --binary FILE --addon FILE`.
// `cargo xtask npm` builds what it needs and runs it; the tests run it on what Cargo has built for them.

import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { fileURLToPath } from 'node:url';

const here = path.dirname(fileURLToPath(import.meta.url));
const root = path.dirname(here);
const string = { type: 'string' };
const { values: asked } = parseArgs({
  options: { out: string, version: string, platform: string, binary: string, addon: string },
});
for (const name of ['out', 'version', 'platform', 'binary']) {
  if (!asked[name]) throw new Error(`--${name} is missing`);
}
const out = path.resolve(asked.out);
fs.rmSync(out, { recursive: true, force: true });
fs.mkdirSync(out, { recursive: true });

/** Packs a folder. A version is the workspace's, also where one package names another. */
function pack(folder, manifest) {
  for (const [name, version] of Object.entries({ [manifest.name]: manifest.version, ...manifest.optionalDependencies })) {
    if (version !== asked.version) throw new Error(`${name} has version ${version}, the workspace ${asked.version}`);
  }
  const licences = ['LICENSE-MIT', 'LICENSE-APACHE'];
  for (const licence of licences) fs.copyFileSync(path.join(root, licence), path.join(folder, licence));
  const whole = { ...manifest, files: [...manifest.files, ...licences] };
  fs.writeFileSync(path.join(folder, 'package.json'), `${JSON.stringify(whole, null, 2)}\n`);
  const printed = execFileSync('npm', ['pack', '--json', '--pack-destination', out], { cwd: folder, encoding: 'utf8' });
  const packed = Object.values(JSON.parse(printed))[0];
  process.stdout.write(`${path.join(out, packed.filename)}\n`);
}

function stage(name, fill) {
  const folder = path.join(out, 'stage', name);
  fs.mkdirSync(folder, { recursive: true });
  return fill(folder);
}

const manifests = {};
for (const name of ['heapsight', 'heap-profile']) {
  stage(name, (folder) => {
    fs.cpSync(path.join(here, name), folder, { recursive: true });
    manifests[name] = JSON.parse(fs.readFileSync(path.join(here, name, 'package.json'), 'utf8'));
    pack(folder, manifests[name]);
  });
}

const [os, cpu] = asked.platform.split('-');
const name = `@heapsight/${asked.platform}`;
if (!(name in manifests.heapsight.optionalDependencies)) {
  throw new Error(`heapsight does not depend on ${name}: add it to its optionalDependencies`);
}
stage(asked.platform, (folder) => {
  const program = os === 'win32' ? 'heapsight.exe' : 'heapsight';
  fs.copyFileSync(asked.binary, path.join(folder, program));
  fs.chmodSync(path.join(folder, program), 0o755);
  const files = [program];
  if (asked.addon && fs.statSync(asked.addon).size) {
    fs.copyFileSync(asked.addon, path.join(folder, 'heapsight_fork.node'));
    fs.chmodSync(path.join(folder, 'heapsight_fork.node'), 0o644);
    files.push('heapsight_fork.node');
  }
  fs.writeFileSync(path.join(folder, 'README.md'), `# ${name}\n\nThe binary of \`heapsight\` for ${asked.platform}. Install \`heapsight\`.\n`);
  const { license } = manifests.heapsight;
  pack(folder, { name, version: asked.version, license, os: [os], cpu: [cpu], files, preferUnplugged: true });
});
