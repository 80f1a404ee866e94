'use strict';

const quotes = [
  { author: 'Kernighan', text: 'Controlling complexity is the essence of computer programming.' },
  { author: 'Hopper', text: 'The most dangerous phrase is: we have always done it this way.' },
  { author: 'Perlis', text: 'Simplicity does not precede complexity, but follows it.' },
];

module.exports = async function routes(fastify) {
  let next = 0;

  const schema = {
    response: { 200: { type: 'object', properties: { author: { type: 'string' }, text: { type: 'string' } } } },
  };

  fastify.get('/', { schema }, async () => quotes[next++ % quotes.length]);

  fastify.get('/:author', { schema }, async (request, reply) => {
    const quote = quotes.find((q) => q.author.toLowerCase() === request.params.author);
    return quote ?? reply.code(404).send();
  });
};
