import * as heapProfile from './index.js';

export * from './index.js';
export default heapProfile;
