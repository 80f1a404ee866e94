// A registry of npm packages on loopback: serves the tarballs of a folder, and has nothing else.

import { execFileSync } from 'node:child_process';
import crypto from 'node:crypto';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';

const folder = process.argv[2];
const packages = new Map();
for (const file of fs.readdirSync(folder).filter((name) => name.endsWith('.tgz'))) {
  const tarball = path.join(folder, file);
  const manifest = JSON.parse(execFileSync('tar', ['-xzOf', tarball, 'package/package.json'], { encoding: 'utf8' }));
  const integrity = `sha512-${crypto.createHash('sha512').update(fs.readFileSync(tarball)).digest('base64')}`;
  packages.set(manifest.name, { file, manifest, integrity });
}

const server = http.createServer((request, response) => {
  const name = decodeURIComponent(request.url.slice(1));
  const found = packages.get(name);
  if (found) {
    const { file, manifest, integrity } = found;
    const dist = { tarball: `http://${request.headers.host}/-/${file}`, integrity };
    const version = { ...manifest, dist };
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ name, 'dist-tags': { latest: manifest.version }, versions: { [manifest.version]: version } }));
  } else if (name.startsWith('-/') && fs.existsSync(path.join(folder, path.basename(name)))) {
    fs.createReadStream(path.join(folder, path.basename(name))).pipe(response);
  } else {
    response.writeHead(404, { 'content-type': 'application/json' }).end('{"error":"not found"}');
  }
});
server.listen(0, '127.0.0.1', () => console.log(`http://127.0.0.1:${server.address().port}/`));
