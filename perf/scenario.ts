/**
 * A scenario: its calls, how they are measured, the check afterwards, and the floors that it is compared with.
 *
 * Owns the two interfaces of its code: the stand in a load generator, and the facts in the report.
 */
import type { AnyEntity, Caller } from '../core/entity.ts';
import type { Journal } from './load/journal.ts';
import type { Entries, Fault, Growth, Load, Measured, Plan, Verdict, Work } from './plan.ts';
import type { Post } from './processes/process-setup.ts';

/** What a scenario has in a generator. */
export interface Stand {
  readonly work: Work;
  readonly load: Load;
  readonly post: Post;
  readonly journal: Journal;
  /** The next key's number. */
  readonly pick: () => number;
  readonly chance: () => number;
  /** Of faults: whoever wants to know. */
  onFault: (fault: string, worker: string) => void;
}

export interface Step {
  readonly name: string;
  /** Close the workers and start them again before it. */
  readonly isAfterRestart?: boolean;
  readonly growth?: Growth;
  /** So many calls, all of them measured, however long they take; none: as many as there is time for. */
  readonly calls?: number;
}

export type Steps = readonly [Step, ...Step[]];

export interface Scenario {
  readonly name: string;
  /** For help and reports: what one call does. */
  readonly summary: string;
  /** What its throughput counts. */
  readonly unit: string;
  /** Whether one of its unit is something else than one call of a floor, so that their ratio would say nothing. */
  readonly hasOtherUnit?: boolean;
  /** Where neither `--concurrency` nor `--rate` says what is called: what does. */
  readonly ownLoad?: string;
  /** Whether its turns are to be durable. */
  readonly isDurable: boolean;
  readonly defaults: Partial<Plan>;
  /** Faults that belong to it, at moments that depend on how long it is measured. */
  readonly faults?: (durationMs: number) => readonly Fault[];
  /** Whether its calls are first ones, which no run before can find a maximum for. */
  readonly isOnce?: boolean;
  /** Measured one after the other, each for itself; the report's figures are the first's. */
  readonly steps: (plan: Plan) => Steps;
  /** Done by every generator before a step is measured. */
  readonly prepare?: (stand: Stand) => Promise<void>;
  readonly run: (stand: Stand) => Promise<Measured>;
  /** By one generator, when all have ended: what entities hold against what all journals say. */
  readonly check?: (stand: Stand, entries: Entries) => Promise<Verdict>;
  /** Further facts, from the numbers that `run` left in `extra`; those of faults are the same everywhere. */
  readonly facts?: (extra: Readonly<Record<string, readonly number[]>>) => Readonly<Record<string, number>>;
}

/** References to the entities of one type, made when they are first called. */
export function callers<Contract extends AnyEntity>(
  { post, work }: Stand,
  contract: Contract,
): (key: number) => Caller<Contract['operations']> {
  const made: Caller<Contract['operations']>[] = [];
  return (key) => {
    const caller = made[key] ?? post.entity(contract, keyName(work, key));
    made[key] = caller;
    return caller;
  };
}

export const keyName = ({ run }: Work, key: number | string): string => `${run}-${key}`;

/** Runs `count` tasks, so many at once. */
export async function inGroups(count: number, task: (index: number) => Promise<unknown>, atOnce = 512): Promise<void> {
  let next = 0;
  const lane = async () => {
    while (next < count) await task(next++);
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, count) }, lane));
}

export function percentile(values: readonly number[], percent: number): number {
  const sorted = [...values].sort((one, other) => one - other);
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil((sorted.length * percent) / 100) - 1))] ?? 0;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((one, other) => one - other);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? (sorted[middle] ?? 0) : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2;
}
