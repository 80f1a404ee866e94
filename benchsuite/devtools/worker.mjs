// DevTools' second thread.
import {parentPort} from 'node:worker_threads';
import {HeapSnapshot} from './engine.mjs';

parentPort.once('message', ({port}) => new HeapSnapshot.SecondaryInitManager(port));
