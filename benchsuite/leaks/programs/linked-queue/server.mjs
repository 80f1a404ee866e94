import http from 'node:http';
import { Mailer } from './mailer.mjs';

const mailer = new Mailer({ host: process.env.SMTP_HOST });
const subjects = ['Your order', 'Your invoice', 'Your parcel'];
let orders = 0;

const server = http.createServer((req, res) => {
  const { pathname, searchParams } = new URL(req.url, 'http://localhost');
  if (pathname === '/order') {
    orders += 1;
    mailer.send({
      to: searchParams.get('mail') ?? 'ada@example.org',
      subject: subjects[orders % subjects.length],
      text: `Thank you for order no. ${orders}.`,
    });
    res.writeHead(201, { 'content-type': 'application/json' });
    res.end(JSON.stringify({ order: orders }));
  } else if (pathname === '/health') {
    res.end(mailer.healthy ? 'ok' : 'no mail');
  } else {
    res.writeHead(404).end();
  }
});

server.listen(Number(process.env.PORT ?? 0), '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});
