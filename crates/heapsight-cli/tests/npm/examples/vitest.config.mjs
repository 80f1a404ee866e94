export default { test: { include: ['*.vitest.mjs'] }, cacheDir: 'vitest-cache' };
