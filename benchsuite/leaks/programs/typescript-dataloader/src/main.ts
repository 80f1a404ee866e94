import { createServer } from 'node:http';
import { randomUUID } from 'node:crypto';
import { resolveCart } from './resolvers';
import { createContext } from './context';

const metrics = { requests: 0, failed: 0 };

const server = createServer(async (request, response) => {
  metrics.requests += 1;
  const { pathname, searchParams } = new URL(request.url ?? '/', 'http://localhost');
  if (pathname === '/metrics') {
    response.end(JSON.stringify(metrics));
    return;
  }
  try {
    const context = createContext(request.headers['x-tenant']?.toString() ?? 'default');
    const cart = await resolveCart(searchParams.get('cart') ?? randomUUID(), context);
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ data: { cart } }));
  } catch (error) {
    metrics.failed += 1;
    response.statusCode = 500;
    response.end(JSON.stringify({ errors: [{ message: (error as Error).message }] }));
  }
});

server.listen(Number(process.env.PORT ?? 0), '127.0.0.1', () => {
  const address = server.address();
  if (address && typeof address === 'object') console.log(`listening on http://127.0.0.1:${address.port}`);
});
