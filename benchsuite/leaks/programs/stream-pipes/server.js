'use strict';

const http = require('node:http');
const { PassThrough } = require('node:stream');
const { Feed } = require('./feed');

const feed = new Feed({ every: 200 });

/** The lines that come within a few milliseconds, for the overview. */
function peek(milliseconds) {
  return new Promise((resolve) => {
    const lines = [];
    const tap = new PassThrough({ encoding: 'utf8', highWaterMark: 1024 });
    const take = (line) => lines.push(line);
    tap.on('data', take);
    feed.pipe(tap);
    setTimeout(() => {
      tap.off('data', take);
      tap.resume();
      resolve(lines);
    }, milliseconds);
  });
}

const server = http.createServer(async (req, res) => {
  if (req.url === '/peek') {
    const lines = await peek(2);
    res.setHeader('content-type', 'text/plain');
    res.end(lines.join('') || 'nothing new\n');
  } else if (req.url === '/tail') {
    feed.pipe(res);
    res.once('close', () => feed.unpipe(res));
  } else {
    res.writeHead(404).end();
  }
});

server.listen(Number(process.env.PORT || 0), '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});
