/**
 * The plan of a measurement, and the plain values that coordinator, workers and load generators exchange.
 *
 * Owns their shapes only. `options.ts` makes a plan from the command line, `run.ts` executes it.
 */

export type StoreChoice =
  | { readonly kind: 'memory' }
  | { readonly kind: 'lmdb'; readonly folder?: string }
  | { readonly kind: 'redis'; readonly url?: string };

/** How workers and clients are connected. Embedded: they share one process, without a network. */
export type NatsChoice =
  | { readonly kind: 'embedded' }
  | { readonly kind: 'own' }
  | { readonly kind: 'at'; readonly url: string };

export interface Fault {
  /**
   * `kill`: SIGKILL, with a successor after a second. `move`: a worker leaves gracefully and returns. `drain`: half of the workers leave
   * gracefully, at once and for good. `stall`: the store stalls for a while.
   */
  readonly kind: 'kill' | 'move' | 'drain' | 'stall';
  /** Time since the start of the measurement. */
  readonly atMs: number;
}

export interface Plan {
  readonly scenario: string;
  readonly workers: number;
  /** All workers share one process and one store, so that there can be more workers than a machine has room for processes. */
  readonly isTogether: boolean;
  /** Load generators; embedded: clients in the one process. */
  readonly clients: number;
  /** Clients in each load generator, each with its own connection. */
  readonly connections: number;
  /** Calls in flight over all clients; the maximum for an open loop. */
  readonly concurrency: number;
  /** Calls per second over all clients of an open loop; none: a closed loop. */
  readonly ratePerS?: number;
  /** Instead: a share of the maximum that a closed loop reaches just before. */
  readonly ratePart?: number;
  readonly warmupMs: number;
  readonly durationMs: number;
  /** How long each floor is measured. */
  readonly floorMs: number;
  readonly repeats: number;
  readonly keys: number;
  /** Exponent of Zipf's law; 0: uniform. */
  readonly skew: number;
  readonly store: StoreChoice;
  /** The most commits per second that the store takes; none: no limit. */
  readonly storePerS?: number;
  readonly nats: NatsChoice;
  readonly faults: readonly Fault[];
  readonly floors: 'all' | 'main' | 'none';
  /** Measures a running cluster of this name. */
  readonly attach: boolean;
  readonly cluster: string;
  /** Load generators on other machines to wait for; 0: all that answer within a second. */
  readonly agents: number;
  /** `counter` and `hot`: size of each state; 0: two numbers. `growth`: size of the largest. */
  readonly stateBytes: number;
  /** `growth`: the largest number of partners of one entity. */
  readonly partners: number;
  /** The folder to which V8 writes a CPU profile of each process. */
  readonly profileFolder?: string;
}

/** The site of a repeat: all that a process needs to take part in it. */
export interface Site {
  readonly cluster: string;
  readonly workers: number;
  readonly isTogether: boolean;
  readonly connections: number;
  readonly storePerS?: number;
  readonly store:
    | { readonly kind: 'memory' }
    | { readonly kind: 'lmdb'; readonly folder: string }
    | { readonly kind: 'redis'; readonly url: string; readonly prefix: string };
  /** None: all in one process. */
  readonly natsUrl?: string;
  /** Whether workers join and leave. Embedded ones are then members of a cluster too. */
  readonly isMoving: boolean;
  /** Duration of a stall of the store. */
  readonly stallMs: number;
  readonly idleMs?: number;
}

/** One generator's part of a load. */
export interface Load {
  /** This generator's number, and how many there are. */
  readonly index: number;
  readonly of: number;
  readonly lanes: number;
  readonly ratePerS?: number;
  /** From the arrival of the start signal. */
  readonly delayMs: number;
  readonly warmupMs: number;
  readonly durationMs: number;
  /** The most calls, all of them measured; none: as many as there is time for. */
  readonly callsMax?: number;
}

/** The dimension in which a step of `growth` is large, and its size. */
export interface Growth {
  readonly axis: 'entities' | 'fewOfEntities' | 'partners' | 'firstContacts' | 'state';
  readonly size: number;
}

/** The parameters of a scenario's calls. */
export interface Work {
  readonly scenario: string;
  readonly step: string;
  /** Part of every key, so that repeats have different keys. */
  readonly run: string;
  readonly keys: number;
  readonly skew: number;
  readonly stateBytes: number;
  readonly growth?: Growth;
  /** Whether workers join and leave meanwhile. */
  readonly isDisturbed?: boolean;
}

/** The measurements of one generator. */
export interface Measured {
  readonly calls: number;
  /** Units that the scenario counts: calls, messages, orders. */
  readonly things: number;
  readonly elapsedMs: number;
  /** Calls that failed, by code. */
  readonly errors: Readonly<Record<string, number>>;
  /** Latencies in µs, in HdrHistogram's compressed format. */
  readonly histogram: string;
  /** The same for each `slotMs`. */
  readonly slotMs: number;
  readonly slots: readonly string[];
  /** Units counted in each `seriesMs`. */
  readonly series: readonly number[];
  /** The longest latency of calls that ended in each `seriesMs`, µs. */
  readonly worstUs: readonly number[];
  /** The scenario's own numbers, joined with those of the other generators. */
  readonly extra: Readonly<Record<string, readonly number[]>>;
}

export const seriesMs = 100;

/** Duration of a stall of the store: 5 s, but at most a quarter of the measured time. */
export const stallMsOf = (durationMs: number): number => Math.min(5_000, durationMs / 4);

/** Latencies over time: one slot per second, or fewer in a long run, as many as a page can show. */
const slotCountMax = 60;
export const slotMsOf = (durationMs: number): number => Math.max(1_000, Math.ceil(durationMs / slotCountMax));

/** The resources that a process has used so far, and its counters. */
export interface Usage {
  readonly name: string;
  readonly pid: number;
  readonly cpuMs: number;
  readonly rssBytes: number;
  readonly heapBytes: number;
  readonly writtenBytes: number;
  /** Counts by name: store calls, frames, messages, turns. */
  readonly counts: Readonly<Record<string, number>>;
}

/** The callers' account of their calls: by key, how many were acknowledged and how many have an unknown outcome. */
export type Entries = readonly (readonly [key: string, acked: number, unknown: number])[];

export interface Verdict {
  readonly lost: number;
  readonly doubled: number;
  readonly checked: number;
}
