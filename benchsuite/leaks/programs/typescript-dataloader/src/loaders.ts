import DataLoader from 'dataloader';
import { cartsByIds, pricesBySkus, type Cart, type Price } from './model';

/** Prices are few and do not change while the process runs. */
export const priceLoader = new DataLoader<string, Price>((skus) => pricesBySkus(skus));

/** Carts are asked for one by one by the resolvers and come from the store in batches. */
export const cartLoader = new DataLoader<string, Cart>((ids) => cartsByIds(ids), {
  maxBatchSize: 50,
});
