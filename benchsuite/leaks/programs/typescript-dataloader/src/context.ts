import type DataLoader from 'dataloader';
import { cartLoader, priceLoader } from './loaders';
import type { Cart, Price } from './model';

export interface Context {
  tenant: string;
  carts: DataLoader<string, Cart>;
  prices: DataLoader<string, Price>;
}

export function createContext(tenant: string): Context {
  return { tenant, carts: cartLoader, prices: priceLoader };
}
