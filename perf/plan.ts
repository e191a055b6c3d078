/**
 * The plan of a measurement, and the plain values that coordinator, workers and load generators exchange.
 *
 * Owns their shapes only. `options.ts` makes a plan from the command line, `run.ts` executes it.
 */

export type StoreChoice =
  | { readonly kind: 'memory' }
  | { readonly kind: 'lmdb'; readonly folder?: string }
  | { readonly kind: 'redis'; readonly url?: string };

/** What joins workers and clients. Embedded: they share one process, and nothing is between them. */
export type NatsChoice =
  | { readonly kind: 'embedded' }
  | { readonly kind: 'own' }
  | { readonly kind: 'at'; readonly url: string };

export interface Fault {
  /**
   * `kill`: SIGKILL, and a successor after a second. `move`: a worker leaves in order, and comes back. `drain`: half of the
   * workers leave in order, all at once, for good. `stall`: the store stands still for a while.
   */
  readonly kind: 'kill' | 'move' | 'drain' | 'stall';
  /** Since the measurement began. */
  readonly atMs: number;
}

export interface Plan {
  readonly scenario: string;
  readonly workers: number;
  /** All workers in one process, on one store: more of them than a machine has room for processes. */
  readonly isTogether: boolean;
  /** Load generators; embedded: clients in the one process. */
  readonly clients: number;
  /** Of each load generator: so many clients in it, each with a connection of its own. */
  readonly connections: number;
  /** Calls in flight over all clients; of an open loop the most there may be. */
  readonly concurrency: number;
  /** Calls per second over all clients, of an open loop; none: a closed loop. */
  readonly ratePerS?: number;
  /** Instead: this part of what a closed loop reaches just before. */
  readonly ratePart?: number;
  readonly warmupMs: number;
  readonly durationMs: number;
  /** How long each floor is measured. */
  readonly floorMs: number;
  readonly repeats: number;
  readonly keys: number;
  /** Exponent of Zipf's law; 0: every key as often as the others. */
  readonly skew: number;
  readonly store: StoreChoice;
  /** So many commits a second the store takes, and no more; none: as many as it can. */
  readonly storePerS?: number;
  readonly nats: NatsChoice;
  readonly faults: readonly Fault[];
  readonly floors: 'all' | 'main' | 'none';
  /** Runs on a cluster that is there already, of this name. */
  readonly attach: boolean;
  readonly cluster: string;
  /** Load generators on other machines to wait for; 0: whoever answers within a second. */
  readonly agents: number;
  /** `counter` and `hot`: how large each state is; 0: two numbers. */
  readonly stateBytes: number;
  /** Of `growth`: the most partners of one entity. */
  readonly partners: number;
  /** Where V8 leaves a profile of each process. */
  readonly profileFolder?: string;
}

/** Where a repeat takes place: what a process needs to know to take part in it. */
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
  /** None: everything in one process. */
  readonly natsUrl?: string;
  /** Whether workers come and go: then they are members of a cluster in one process, too. */
  readonly isMoving: boolean;
  /** For how long a stall of the store lasts. */
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
  /** From the moment at which the word to go arrives. */
  readonly delayMs: number;
  readonly warmupMs: number;
  readonly durationMs: number;
  /** No more calls than this, all of them measured; none: as many as there is time for. */
  readonly callsMax?: number;
}

/** What a step of `growth` has made large, and how large. */
export interface Growth {
  readonly axis: 'entities' | 'fewOfEntities' | 'partners' | 'firstContacts' | 'state';
  readonly size: number;
}

/** What the calls of a scenario need to know. */
export interface Work {
  readonly scenario: string;
  readonly step: string;
  /** Makes this repeat's keys its own. */
  readonly run: string;
  readonly keys: number;
  readonly skew: number;
  readonly stateBytes: number;
  readonly growth?: Growth;
  /** Workers come and go meanwhile. */
  readonly isDisturbed?: boolean;
}

/** What one generator measured. */
export interface Measured {
  readonly calls: number;
  /** What the scenario counts: calls, messages, orders. */
  readonly things: number;
  readonly elapsedMs: number;
  /** Calls that failed, by code. */
  readonly errors: Readonly<Record<string, number>>;
  /** Of latencies in µs; compressed, as HdrHistogram writes it. */
  readonly histogram: string;
  /** The same for each `slotMs` of the time. */
  readonly slotMs: number;
  readonly slots: readonly string[];
  /** Things in each `seriesMs`. */
  readonly series: readonly number[];
  /** Longest latency of what ended in each `seriesMs`, µs. */
  readonly worstUs: readonly number[];
  /** Numbers of the scenario's own, to be put together with the other generators'. */
  readonly extra: Readonly<Record<string, readonly number[]>>;
}

export const seriesMs = 100;

/** How long a store stands still that is to: long, and not for most of the time that is measured. */
export const stallMsOf = (durationMs: number): number => Math.min(5_000, durationMs / 4);

/** Latencies over time: a slot a second, and as many as a page can show of a long run. */
const slotCountMax = 60;
export const slotMsOf = (durationMs: number): number => Math.max(1_000, Math.ceil(durationMs / slotCountMax));

/** What a process has used and done so far. */
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

/** What calls did to keys according to those who made them: by key, how much was acknowledged, and how much is unknown. */
export type Entries = readonly (readonly [key: string, acked: number, unknown: number])[];

export interface Verdict {
  readonly lost: number;
  readonly doubled: number;
  readonly checked: number;
}
