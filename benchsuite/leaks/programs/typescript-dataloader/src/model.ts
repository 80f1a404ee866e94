export interface Price {
  sku: string;
  cents: number;
}

export interface Cart {
  id: string;
  lines: { sku: string; quantity: number }[];
  updated: Date;
}

const catalogue = new Map<string, Price>(
  ['cup', 'pot', 'tray', 'spoon'].map((sku, index) => [sku, { sku, cents: 250 + index * 425 }]),
);

export async function pricesBySkus(skus: readonly string[]): Promise<Price[]> {
  await null;
  return skus.map((sku) => catalogue.get(sku) ?? { sku, cents: 0 });
}

export async function cartsByIds(ids: readonly string[]): Promise<Cart[]> {
  await new Promise((resolve) => setImmediate(resolve));
  return ids.map((id) => ({
    id,
    lines: [...catalogue.keys()].slice(0, 1 + (id.charCodeAt(0) % 4)).map((sku, index) => ({ sku, quantity: index + 1 })),
    updated: new Date(),
  }));
}
