import http from 'node:http';
import { createLogger } from './logger.mjs';

const log = createLogger({ keep: 200, level: process.env.LOG_LEVEL ?? 'info' });
const forecast = ['sun', 'clouds', 'rain', 'snow', 'wind'];

const server = http.createServer((req, res) => {
  const url = new URL(req.url, 'http://localhost');
  log.debug('request', { url: req.url });
  if (url.pathname === '/weather') {
    const city = url.searchParams.get('city') ?? 'Trieste';
    const day = new Date().getDay();
    log.info('forecast', { city, day, agent: req.headers['user-agent'] });
    res.setHeader('content-type', 'application/json');
    res.end(JSON.stringify({ city, today: forecast[day % forecast.length] }));
  } else if (url.pathname === '/log') {
    res.setHeader('content-type', 'text/plain');
    res.end(log.tail(50).join('\n'));
  } else {
    log.warn('no such page', { url: req.url });
    res.writeHead(404).end();
  }
});

server.listen(Number(process.env.PORT ?? 0), '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
  log.info('started', { pid: process.pid });
});
