import type { Context } from './context';

export async function resolveCart(id: string, context: Context) {
  const cart = await context.carts.load(id);
  const prices = await Promise.all(cart.lines.map((line) => context.prices.load(line.sku)));
  const total = cart.lines.reduce((sum, line, index) => sum + line.quantity * prices[index].cents, 0);
  return { id: cart.id, lines: cart.lines.length, total };
}
