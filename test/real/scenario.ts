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
  /** Says how it goes. */
  readonly say: (text: string) => void;
}

type Measured = Readonly<Record<string, number | string>>;

export interface Result {
  readonly scenario: string;
  /** What was measured, in the order in which it is to be read; times in ms. */
  readonly measured: Measured;
  readonly verdict: Verdict;
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
export const usualLoad: LoadOptions = { tallies: 96, loops: 96, thinkMs: 40, deadlineMs: 30_000 };

export const three = ['w1', 'w2', 'w3'];

/** Between the steps of a scenario, ms: the usual load runs undisturbed. */
export const calmMs = 2_000;

export type Body = (cluster: Cluster, given: Given) => Promise<{ measured: Measured; problems?: readonly string[] }>;

/** The frame: starts a cluster and the load, lets `body` have it, and compares at the end. */
export async function scene(name: string, options: Partial<ClusterOptions>, given: Given, body: Body): Promise<Result> {
  const cluster = await Cluster.start({ workers: three, load: usualLoad, ...options });
  try {
    await cluster.startLoad();
    await sleep(calmMs);
    await cluster.takePauses();
    const { measured, problems = [] } = await body(cluster, given);
    await sleep(calmMs / 2);
    const { failed } = await cluster.counts();
    const verdict = await cluster.finish();
    const { operations, acknowledged, unknown, lost, doubled, finishedMs } = verdict;
    const compared = { calls: operations, acknowledged, failed: verdict.failed, unknown, lost, doubled };
    const all = [...problems, ...verdict.problems];
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

/** p50, p99 and the most of many times, as one figure. */
export function spread(ms: readonly number[]): string {
  if (ms.length === 0) return 'none';
  const sorted = [...ms].sort((one, other) => one - other);
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)] as number;
  const text = (value: number) => (value < 10 ? value.toFixed(1) : value.toFixed(0));
  return `${text(at(0.5))} / ${text(at(0.99))} / ${text(sorted[sorted.length - 1] as number)}`;
}

/** What of a fault's keys never answered is a problem. */
export function unanswered(name: string, { openCount }: Recovery): string[] {
  return openCount === 0 ? [] : [`${openCount} keys did not answer again after ${name}`];
}
