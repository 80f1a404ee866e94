const http = require('node:http');
const { geo } = require('./geo');

lookups = {};

function remember(address, place) {
  const now = new Date();
  lookups[now.toISOString() + Math.random()] = { address, place, now };
}

const server = http.createServer((req, res) => {
  const address = req.headers['x-forwarded-for'] || req.socket.remoteAddress;
  const place = geo(address);
  remember(address, place);
  res.setHeader('content-language', place.language);
  res.end(place.language === 'de' ? 'Guten Tag\n' : 'Hello\n');
});

server.listen(Number(process.env.PORT || 0), '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});
