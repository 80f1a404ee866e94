import http from 'node:http';
import { shapes, area, perimeter } from './shapes.mjs';
import { evaluate } from './expressions.mjs';

let turn = 0;

const server = http.createServer((req, res) => {
  turn += 1;
  const url = new URL(req.url, 'http://localhost');
  if (url.pathname !== '/compute') {
    res.writeHead(404).end();
    return;
  }
  let sum = 0;
  for (let i = 0; i < 400; i += 1) {
    const make = shapes[(turn + i) % shapes.length];
    const shape = make(1 + (i % 7), 2 + (turn % 5));
    sum += area(shape) + perimeter(shape);
  }
  const formula = url.searchParams.get('formula') ?? `(${turn % 10} + 3) * ${(turn % 6) + 1} - x / 4`;
  res.setHeader('content-type', 'application/json');
  res.end(JSON.stringify({ sum: Math.round(sum), value: evaluate(formula, { x: turn % 100 }) }));
});

server.listen(Number(process.env.PORT ?? 0), '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});
