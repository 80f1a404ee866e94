import * as heapsight from './index.js';

export * from './index.js';
export default heapsight;
