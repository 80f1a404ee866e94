// The same module for `import`.
import heapProfile from './index.js';

export const { start, stop, get, write } = heapProfile;
export default heapProfile;
