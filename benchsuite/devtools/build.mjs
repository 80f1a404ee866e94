// Bundles DevTools' engine for Node.js. The engine itself is unmodified; what it imports from the rest of the front end
// (translations, text highlighting, the proxy to its worker) is replaced by the little that it uses of them.
import * as esbuild from 'esbuild';
import path from 'node:path';

const frontEnd = path.resolve('node_modules/chrome-devtools-frontend/front_end');
const stubs = {
  'core/i18n/i18n.js': `export const i18n = {serializeUIString: (text, values = {}) => JSON.stringify({text, values})};`,
  'core/platform/platform.js': ['ArrayUtilities', 'MapUtilities', 'StringUtilities', 'TypedArrayUtilities']
      .map(name => `export * as ${name} from './core/platform/${name}.ts';`).join('\n'),
  'core/text_utils/text_utils.js': `export * as TextUtils from './core/text_utils/TextUtils.ts';`,
};
const empty = /\/(ContentData|ContentProvider|HeapSnapshotProxy)\.js$/;

await esbuild.build({
  stdin: {
    contents: `export * as HeapSnapshot from './entrypoints/heap_snapshot_worker/HeapSnapshot.ts';
      export * as Loader from './entrypoints/heap_snapshot_worker/HeapSnapshotLoader.ts';
      export * as Model from './models/heap_snapshot/HeapSnapshotModel.ts';`,
    resolveDir: frontEnd,
    loader: 'ts',
  },
  bundle: true,
  format: 'esm',
  platform: 'node',
  target: 'esnext',
  outfile: 'engine.mjs',
  tsconfigRaw: {compilerOptions: {useDefineForClassFields: false, target: 'esnext'}},
  // Node.js 20 lacks what Chrome has.
  banner: {js: 'Promise.withResolvers ??= function() { let r = {}; r.promise = new Promise((a, b) => Object.assign(r, {resolve: a, reject: b})); return r; };'},
  plugins: [{
    name: 'stubs',
    setup(build) {
      build.onResolve({filter: /\.js$/}, args => {
        const target = path.join(args.resolveDir, args.path);
        const key = Object.keys(stubs).find(key => target.endsWith(key));
        if (key) return {path: key, namespace: 'stub'};
        if (empty.test(args.path)) return {path: 'empty', namespace: 'stub'};
      });
      build.onLoad({filter: /.*/, namespace: 'stub'}, args => ({
        contents: stubs[args.path] ?? 'export class ContentData {} export class SearchMatch {}',
        resolveDir: frontEnd,
      }));
    },
  }],
});
