/** A sampling profile, as DevTools opens it from a `.heapprofile` file. */
export interface SamplingProfile {
  head: SamplingProfileNode;
  samples: { size: number; nodeId: number; ordinal: number }[];
}

export interface SamplingProfileNode {
  callFrame: { functionName: string; scriptId: string; url: string; lineNumber: number; columnNumber: number };
  selfSize: number;
  id: number;
  children: SamplingProfileNode[];
}

/** What fails here. `code` is `ERR_HEAPSIGHT_` and one of these names. */
export declare class HeapsightError extends Error {
  constructor(code: string, message: string, more?: object);
  readonly code: string;
  /** Of `ERR_HEAPSIGHT_COOLDOWN`: seconds until the next capture may be taken. */
  readonly retryAfter?: number;
  /** Of `ERR_HEAPSIGHT_GROWTH`: what grew, the most first. */
  readonly growth?: Growth[];
  /** Of `ERR_HEAPSIGHT_GROWTH`, with `snapshots`: the containers that keep it alive. */
  readonly heldBy?: string[];
}

/** `fork`: a child writes it, this thread stands still for milliseconds (Linux, Node.js 16 and later). `v8`: in place. */
export type Method = 'auto' | 'fork' | 'v8';

export interface SnapshotOptions {
  /** `auto` if nothing is said: fork where that works. */
  method?: Method;
  /** Objects keep their ids from one snapshot to the next, so that these can be compared; needs a fork. */
  stableIds?: boolean;
  /** Take it even if memory will most likely not suffice. */
  force?: boolean;
  /** Write `<file>.meta.json` beside it, with the names of scripts and the id space: true if nothing is said. */
  sideFile?: boolean;
  /** Milliseconds that a child may take. */
  timeout?: number;
  /** Ends a fork snapshot early. */
  signal?: AbortSignal;
}

export interface Snapshot {
  file: string;
  method: 'fork' | 'v8';
  /** Size of the snapshot, unpacked. */
  bytes: number;
  nodes: number;
  edges: number;
  /** How long this thread stood still. */
  pauseMs: number;
  durationMs: number;
  /** How often was forked. */
  tries: number;
  /** What did not go as it should: why V8 wrote it in place and no fork was made, or why there is no side file. */
  note?: string;
}

/**
 * Writes a heap snapshot of this thread's heap, with mode 0600; it has its name when it is whole. `file` is a file, whose
 * name may end with `.gz` or `.zst`, or a folder; a name of Node's pattern is made up where none is given.
 */
export declare function writeHeapSnapshot(file?: string | URL, options?: SnapshotOptions): Promise<Snapshot>;
export declare function writeHeapSnapshot(options: SnapshotOptions): Promise<Snapshot>;

export interface SamplingOptions {
  /** Bytes between two samples, on average: 524288 if nothing is said. */
  interval?: number;
  /** Frames of a stack, 128 at most. Node.js before 26 keeps 128 whatever is said. */
  stackDepth?: number;
  /** Keep samples of what was collected, too (Node.js 18 and later). */
  collected?: boolean;
}

/** Begins to sample the allocations of this thread. */
export declare function startSampling(options?: SamplingOptions): Promise<void>;

/** Writes what is alive of what was sampled; sampling goes on. */
export declare function writeSampling(file?: string | URL): Promise<{ profile: SamplingProfile; file: string }>;

/** Ends sampling; writes the profile if there is a name for it. */
export declare function stopSampling(): Promise<{ profile: SamplingProfile; file: undefined }>;
export declare function stopSampling(file: string | URL): Promise<{ profile: SamplingProfile; file: string }>;

export interface TimelineOptions {
  file?: string | URL;
  /** Keep the stack of each allocation: true if nothing is said. */
  stacks?: boolean;
  /** Record even if memory will most likely not suffice. */
  force?: boolean;
}

/** Records every allocation while `work` runs; for a test machine. */
export declare function recordTimeline<T>(
  work: () => T | Promise<T>,
  options?: TimelineOptions,
): Promise<{ file: string; bytes: number; durationMs: number; result: T }>;

export interface GrowthOptions {
  /** Rounds that are compared: 5. */
  rounds?: number;
  /** Calls a round: 20. */
  times?: number;
  /** Rounds before that: 2. */
  warmUp?: number;
  /** Bytes a call, for each function that allocates, that are not counted as growth: 8. */
  tolerance?: number;
  /** Bytes between two samples: 8. More is faster and misses small leaks. */
  interval?: number;
  /** Functions or files whose allocations do not count, with all that they call. */
  ignore?: string | RegExp | (string | RegExp)[];
  /** Find out who holds it, too: takes four heap snapshots, seconds each. */
  snapshots?: boolean;
}

export interface Growth {
  /** Bytes a call. */
  perCall: number;
  /** Bytes that stayed of each round. */
  rounds: number[];
  /** The function that allocated, and who called it. */
  allocatedBy: string[];
}

/** Fails if a function leaks: if memory that it allocates stays of each round of calls. */
export declare function expectNoGrowth(
  work: () => unknown,
  options?: GrowthOptions,
): Promise<{ rounds: number; times: number }>;

export type Kind = 'snapshot' | 'sample' | 'timeline';

export interface TriggerOptions {
  /** The folder of the files: the current one if nothing is said. */
  directory?: string;
  /** Of snapshots. */
  method?: Method;
  /** How long samples and timelines are, unless a request says so: 30. */
  seconds?: number;
  /** Bytes between two samples. */
  interval?: number;
  /** Seconds from one capture to the next: 10. */
  cooldown?: number;
}

/** Takes a capture whenever a signal comes. The function that is returned ends that. */
export declare function captureOnSignal(signal: `SIG${string}`, options?: TriggerOptions & { kind?: Kind }): () => void;

export interface ServerOptions extends TriggerOptions {
  /** What requests have to send as a bearer token: 16 characters or more. */
  token: string;
  /** 127.0.0.1 if nothing is said. */
  host?: string;
  /** A free one if nothing is said. */
  port?: number;
}

/** Takes captures on request: `POST /snapshot`, `/sample` or `/timeline`. */
export declare function serveCaptures(options: ServerOptions): Promise<{ url: string; close(): Promise<void> }>;
