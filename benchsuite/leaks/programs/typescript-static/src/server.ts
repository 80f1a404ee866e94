import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { Form, type FieldOptions } from './form';
import { layout } from './layout';

const fields: FieldOptions[] = [
  { name: 'name', label: 'Your name', required: true },
  { name: 'email', label: 'E-mail', required: true, pattern: /^[^@]+@[^@]+$/ },
  { name: 'message', label: 'Message', required: false },
];

function contact(request: IncomingMessage, response: ServerResponse): void {
  const form = new Form('contact', fields);
  response.setHeader('content-type', 'text/html; charset=utf-8');
  response.end(layout('Contact', form.render()));
}

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

const routes: Record<string, Handler> = {
  '/contact': contact,
  '/health': (_, response) => void response.end('ok'),
};

const server = createServer((request, response) => {
  const path = (request.url ?? '/').split('?')[0];
  const route = routes[path];
  if (route) {
    route(request, response);
  } else {
    response.statusCode = 404;
    response.end();
  }
});

server.listen(Number(process.env.PORT ?? 0), '127.0.0.1', () => {
  const address = server.address();
  if (address && typeof address === 'object') console.log(`listening on http://127.0.0.1:${address.port}`);
});
