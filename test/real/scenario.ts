/**
 * A scenario: what is done to a cluster under load, and what the outside client saw of it.
 *
 * Owns the frame that all have in common: load before, the fault, load after, and the comparison at the end.
 */
import type { Verdict } from './check.ts';
import { Cluster, type ClusterOptions, type Recovery } from './cluster.ts';
import type { LoadOptions } from './load.ts';
import { sleep } from './program.ts';

export interface Given {
  readonly seconds: number | undefined;
  /** Where hostile frames are sent: how many. */
  readonly frames?: number | undefined;
  /** Where a large folder is made: of how many. */
  readonly entities?: number | undefined;
  /** The commit of another release. */
  readonly before?: string | undefined;
  /** Says how it goes. */
  readonly say: (text: string) => void;
}

/** Of many times, ms. */
export interface Spread {
  readonly p50: number;
  readonly p99: number;
  readonly most: number;
  readonly count: number;
}

type Measured = Readonly<Record<string, number | string | Spread>>;

export interface Result {
  readonly scenario: string;
  /** What was measured, in the order in which it is to be read; times in ms. */
  readonly measured: Measured;
  /** Undefined: the scenario compares for itself. */
  readonly verdict: Verdict | undefined;
  /** Violations, of the scenario's own and of the comparison; empty: all is well. */
  readonly problems: readonly string[];
}

export interface Scenario {
  readonly name: string;
  /** In a line. */
  readonly what: string;
  readonly run: (given: Given) => Promise<Result>;
}

/** Light enough that two processors are not the bottleneck, dense enough that each key is called all the time. */
export const usualLoad: LoadOptions = { tallies: 96, loops: 96, thinkMs: 40, deadlineMs: 30_000, sendsMessages: true };

export const three = ['w1', 'w2', 'w3'];

/** Between the steps of a scenario, ms: the usual load runs undisturbed. */
export const calmMs = 1_000;

type Body = (cluster: Cluster, given: Given) => Promise<{ measured: Measured; problems?: readonly string[] }>;

/** The frame: starts a cluster and the load, lets `body` have it, and compares at the end. */
export async function scene(name: string, options: Partial<ClusterOptions>, given: Given, body: Body): Promise<Result> {
  const cluster = await Cluster.start({ workers: three, load: usualLoad, ...options });
  try {
    await cluster.startLoad();
    await sleep(calmMs);
    await cluster.takePauses();
    const { measured, problems = [] } = await body(cluster, given);
    await sleep(calmMs);
    const { failed } = await cluster.counts();
    const verdict = await cluster.finish();
    const { operations, acknowledged, unknown, lost, doubled, finishedMs } = verdict;
    const compared = { operations, acknowledged, failed: verdict.failed, unknown, lost, doubled };
    // No fault here lasts as long as a call's deadline.
    const failures = verdict.failed === 0 ? [] : [`${verdict.failed} calls failed`];
    const all = [...problems, ...failures, ...verdict.problems];
    for (const one of failed.slice(0, 3))
      given.say(`failed: ${one.code} ${one.effect} after ${one.ms.toFixed(0)} ms: ${one.message}`);
    if (all.length > 0) given.say(cluster.lastWords());
    return {
      scenario: name,
      measured: { ...measured, ...compared, 'all finished': Math.round(finishedMs) },
      verdict,
      problems: all,
    };
  } catch (error) {
    given.say(cluster.lastWords());
    throw error;
  } finally {
    await cluster.close();
  }
}

export function spread(ms: readonly number[]): Spread {
  const sorted = [...ms].sort((one, other) => one - other);
  const at = (share: number) => rounded(sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)] ?? 0);
  return { p50: at(0.5), p99: at(0.99), most: at(1), count: sorted.length };
}

function rounded(ms: number): number {
  return ms < 10 ? Math.round(ms * 10) / 10 : Math.round(ms);
}

/** As it stands in tables: p50 / p99 / most (count). */
export function textOf(figure: Measured[string]): string {
  if (typeof figure !== 'object') return String(figure);
  const { p50, p99, most, count } = figure;
  return count === 0 ? 'none' : `${p50} / ${p99} / ${most} (${count})`;
}

/** What of a fault's keys never answered is a problem. */
export function unanswered(name: string, { openCount }: Recovery): string[] {
  return openCount === 0 ? [] : [`${openCount} keys did not answer again after ${name}`];
}
