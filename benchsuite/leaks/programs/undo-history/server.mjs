import http from 'node:http';
import { createStore } from './store.mjs';

const store = createStore({ cart: [], visits: 0 }, (state, action) => {
  switch (action.type) {
    case 'visit':
      return { ...state, visits: state.visits + 1, last: action.at };
    case 'add':
      return { ...state, cart: [...state.cart, action.item].slice(-10) };
    default:
      return state;
  }
});

const server = http.createServer((req, res) => {
  store.dispatch({ type: 'visit', at: new Date(), agent: req.headers['user-agent'] });
  if (req.url.startsWith('/add')) store.dispatch({ type: 'add', item: req.url });
  const { visits, cart } = store.state();
  res.end(JSON.stringify({ visits, items: cart.length }));
});

server.listen(Number(process.env.PORT || 0), '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});
