/** What `start` takes. */
export interface Configuration {
  /** Bytes between two samples, on average: 524288 if nothing is said. */
  sampleIntervalBytes?: number;
  /** Frames of a stack that are kept, 128 at most. Node.js before 26 keeps 128 whatever is said. */
  stackDepth?: number;
  /** Of the files: `inspector` as DevTools writes it, or `flat` as version 0.4 of this module did. */
  layout?: 'inspector' | 'flat';
}

export interface Allocation {
  /** Bytes that one sample stands for. */
  size: number;
  /** Samples of that size. */
  count: number;
}

/** A node in V8's words; lines and columns count from 1. */
export interface AllocationProfileNode {
  name?: string;
  scriptName: string;
  scriptId: number;
  lineNumber: number;
  columnNumber: number;
  allocations: Allocation[];
  children: AllocationProfileNode[];
}

/** A node in DevTools' words; lines and columns count from 1. */
export interface DevToolsProfileNode {
  functionName?: string;
  scriptId: number;
  lineNumber: number;
  columnNumber: number;
  url: string;
  selfSize: number;
  children: DevToolsProfileNode[];
}

export interface Callback {
  (err: Error | null, filename?: string): void;
}

/** Starts sampling. Without effect while it runs. */
export declare function start(cfg?: Configuration): void;

/** Stops sampling and forgets all samples. */
export declare function stop(): void;

/** What is alive of what was sampled, as a tree. */
export declare function get(translate: true): DevToolsProfileNode;
export declare function get(translate?: false): AllocationProfileNode;

/** Writes the profile, to `heap-profile-<ms>.heapprofile` if no name is given. Sampling goes on. */
export declare function write(): Promise<string>;
export declare function write(filename: string): Promise<string>;
export declare function write(cb: Callback): void;
export declare function write(filename: string, cb: Callback): void;
