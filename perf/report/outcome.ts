/** The outcome of a run before it is a report: by repeat and step, with the resources that each process used. */
import type { Fault, Measured, Plan, Usage, Verdict } from '../plan.ts';

/** Samples of a process's memory, timed from the start of the measurement. */
export interface MemorySeries {
  readonly atMs: readonly number[];
  readonly rssBytes: readonly number[];
  /** Zeros if only the system reports the process. */
  readonly heapBytes: readonly number[];
}

/** The resources that a process used during the measured time, and its counters. */
export interface ProcessUse {
  readonly name: string;
  readonly pid: number;
  /** As a share of one core. */
  readonly cpu: number;
  readonly rssBytes: number;
  readonly heapBytes: number;
  readonly writtenBytes: number;
  readonly counts: Readonly<Record<string, number>>;
  readonly memory: MemorySeries;
}

/** The rate of an open loop that is a share of the maximum that a closed loop reached just before. */
export interface Paced {
  readonly maximumPerS: number;
  readonly ratePerS: number;
}

export interface Mark {
  readonly kind: Fault['kind'];
  /** The worker that it happened to. */
  readonly worker: string;
  readonly atMs: number;
  /** When the cluster had recovered. */
  readonly overMs: number;
  /** Traffic of the nats-server meanwhile, and per second before, if this run started that server. */
  readonly traffic?: { readonly during: Traffic; readonly usualPerS: Traffic };
}

/** Counters of a nats-server. */
export interface Traffic {
  /** In: to the server. Out: from it. */
  readonly messagesIn: number;
  readonly messagesOut: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly slowConsumers: number;
}

export interface StepOutcome {
  readonly step: string;
  readonly measured: readonly Measured[];
  readonly processes: readonly ProcessUse[];
  readonly marks: readonly Mark[];
  readonly paced?: Paced;
  /** Numbers that the hosts of the entities measured, joined with those of the generators. */
  readonly extra: Measured['extra'];
}

export interface FloorOutcome {
  readonly floor: string;
  /** The step that it is compared with; none: the first. */
  readonly step?: string;
  readonly measured: Measured;
}

export interface RepeatOutcome {
  readonly steps: readonly StepOutcome[];
  readonly floors: readonly FloorOutcome[];
  readonly verdict: Verdict;
}

export interface Outcome {
  readonly plan: Plan;
  readonly startedAt: number;
  readonly repeats: readonly RepeatOutcome[];
  readonly serverVersions: Readonly<Record<string, string>>;
  /** The failures that acknowledged turns survive. */
  readonly durability: string;
  /** Machines of load generators elsewhere. */
  readonly machines: readonly object[];
}

export function useBetween(
  [before, after]: readonly [readonly Usage[], readonly Usage[]],
  ms: number,
  memoryOf: (usage: Usage) => MemorySeries,
): ProcessUse[] {
  return after.map((now) => {
    const then = before.find(({ pid, name }) => pid === now.pid && name === now.name);
    const countsThen = then?.counts ?? {};
    return {
      name: now.name,
      pid: now.pid,
      cpu: (now.cpuMs - (then?.cpuMs ?? 0)) / Math.max(1, ms),
      rssBytes: now.rssBytes,
      heapBytes: now.heapBytes,
      writtenBytes: now.writtenBytes - (then?.writtenBytes ?? 0),
      counts: Object.fromEntries(
        Object.entries(now.counts).map(([name, count]) => [name, count - (countsThen[name] ?? 0)]),
      ),
      memory: memoryOf(now),
    };
  });
}

/** Joins the numbers of the same name. */
export function joined(parts: readonly Measured['extra'][]): Record<string, number[]> {
  const all: Record<string, number[]> = {};
  for (const part of parts)
    for (const [name, values] of Object.entries(part)) {
      const known = all[name] ?? [];
      for (const value of values) known.push(value);
      all[name] = known;
    }
  return all;
}
