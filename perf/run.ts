/**
 * A run: for each repeat the floors, then the scenario on a fresh cluster, then a comparison of the entities' content with the
 * generators' journals.
 *
 * Owns the order of these steps, and the start signal. Each repeat has its own processes, keys and store, so that repeats are
 * independent and their spread is that of the measurement.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { floorsOf, hasResponder } from './floors/all.ts';
import type { FloorPart, Part } from './load/generator.ts';
import { together } from './load/journal.ts';
import type { Entries, Load, Measured, Plan, Site, Usage, Verdict, Work } from './plan.ts';
import { FaultMaker } from './processes/fault-maker.ts';
import { MemoryWatch } from './processes/memory-samples.ts';
import { workerName } from './processes/process-setup.ts';
import { Crew, type Hand } from './processes/processes.ts';
import { Place, siteWithin } from './processes/testbed.ts';
import {
  type FloorOutcome,
  joined,
  type Mark,
  type Outcome,
  type Paced,
  type RepeatOutcome,
  type StepOutcome,
  useBetween,
} from './report/outcome.ts';
import type { Scenario, Step } from './scenario.ts';
import { scenarioOf } from './scenarios/all.ts';

/** Receives the progress of a run. */
export interface Viewer {
  begins(what: string, load: { readonly warmupMs: number; readonly durationMs: number; readonly unit: string }): void;
  progress(things: number): void;
  ends(): void;
}

export interface RunOptions {
  readonly viewer: Viewer;
  /** False: all in this process, for short tests. */
  readonly isForking: boolean;
  /** Load generators on other machines. */
  readonly remotes?: readonly Hand[];
  readonly machines?: readonly object[];
  /** Called after each repeat with the outcome so far, so that an interrupted run of hours still has a report. */
  readonly kept?: (outcome: Outcome) => void;
}

/** All generators have the start signal after this time. */
const delayMs = 100;
const lookMs = 500;
/** Duration of the closed loop that finds the maximum of which a rate is a share. */
const maximumMs = 10_000;
/** A step with a fixed number of calls is stopped after this. */
const mostMs = 120_000;

export async function run(plan: Plan, options: RunOptions): Promise<Outcome> {
  const place = new Place(plan);
  const startedAt = Date.now();
  const repeats: RepeatOutcome[] = [];
  const outcome = (): Outcome => {
    const { versions: serverVersions, durability } = place;
    return { plan, startedAt, repeats: [...repeats], serverVersions, durability, machines: options.machines ?? [] };
  };
  try {
    await place.open();
    for (let number = 0; number < plan.repeats; number++) {
      const viewer = plan.repeats === 1 ? options.viewer : numbered(options.viewer, `${number + 1} of ${plan.repeats}`);
      const repeat = new Repeat(plan, { ...options, viewer, place, run: `${startedAt.toString(36)}${number}` });
      repeats.push(await repeat.run());
      options.kept?.(outcome());
    }
    return outcome();
  } finally {
    await place.close();
  }
}

/** Adds the number of the repeat. */
function numbered(viewer: Viewer, number: string): Viewer {
  return { ...viewer, begins: (what, load) => viewer.begins(`${number}: ${what}`, load) };
}

/** For a step whose calls are all measured. */
const whole = { warmupMs: 0, durationMs: mostMs };
const shareOf = (ratePerS: number | undefined, of: number) =>
  ratePerS === undefined ? {} : { ratePerS: ratePerS / of };

/** Waits unless aborted. */
const passed = (ms: number, signal: AbortSignal) => pause(ms, undefined, { signal }).catch(() => undefined);

class Repeat {
  readonly #plan: Plan;
  readonly #scenario: Scenario;
  readonly #options: RunOptions & { readonly place: Place; readonly run: string };
  readonly #crew: Crew;
  readonly #site: Site;

  constructor(plan: Plan, options: RunOptions & { readonly place: Place; readonly run: string }) {
    this.#plan = plan;
    this.#options = options;
    this.#scenario = scenarioOf(plan.scenario);
    this.#crew = new Crew({ profileFolder: plan.profileFolder, isForking: options.isForking });
    this.#site = options.place.siteOf(options.run, plan.faults.length > 0);
  }

  async run(): Promise<RepeatOutcome> {
    try {
      const floors = await this.#floors();
      const generators = await this.#open();
      const steps: StepOutcome[] = [];
      for (const step of this.#scenario.steps(this.#plan)) steps.push(await this.#step(step, generators));
      const verdict = await this.#verdict(generators);
      for (const { peer } of generators) await peer.ask('close');
      return { steps, floors, verdict };
    } finally {
      await this.#crew.end();
      this.#options.place.leave(this.#site);
    }
  }

  // ---- floors

  async #floors(): Promise<FloorOutcome[]> {
    const outcomes: FloorOutcome[] = [];
    const floors = floorsOf(this.#plan, this.#scenario);
    const grown = this.#scenario.steps(this.#plan).filter(({ growth }) => growth?.axis === 'entities');
    for (const floor of floors)
      if (grown.length === 0) outcomes.push(await this.#floor(floor));
      else for (const step of grown) outcomes.push(await this.#grownFloor(floor, step));
    return outcomes;
  }

  /** Measures a floor on a store of its own, with as many entities in it as the step has. */
  async #grownFloor(floor: string, step: Step): Promise<FloorOutcome> {
    const outcome = await this.#floor(floor, step, siteWithin(this.#site, String(step.growth?.size)));
    return { ...outcome, floor: `${floor}, ${step.name}`, step: step.name };
  }

  async #floor(floor: string, step: Pick<Step, 'growth'> = {}, site = this.#site): Promise<FloorOutcome> {
    const { floorMs, concurrency } = this.#plan;
    const hands: Hand[] = [];
    if (hasResponder(floor)) {
      const responder = this.#crew.start('responder', floor);
      await responder.peer.ask('open', site);
      hands.push(responder);
    }
    const generator = this.#crew.start('generator', `floor-${floor}`);
    hands.push(generator);
    const load: Load = { index: 0, of: 1, lanes: concurrency, delayMs: 0, warmupMs: floorMs / 5, durationMs: floorMs };
    const part: FloorPart = { floor, site, work: this.#work(floor, step), load };
    this.#options.viewer.begins(`floor ${floor}`, { ...load, unit: 'calls' });
    const ending = new AbortController();
    void this.#watch([generator], ending.signal);
    const measured = await generator.peer.ask<Measured>('floor', part);
    ending.abort();
    this.#options.viewer.ends();
    for (const hand of hands) {
      await hand.peer.ask('close');
      this.#crew.forget(hand);
      await hand.end();
    }
    return { floor, measured };
  }

  // ---- the scenario

  /** Starts the workers, then the generators. */
  async #open(): Promise<readonly Hand[]> {
    const { attach, workers, clients, isTogether } = this.#plan;
    const isEmbedded = this.#site.natsUrl === undefined;
    const names = isTogether ? ['workers'] : Array.from({ length: workers }, (_, index) => workerName(index + 1));
    if (!isEmbedded && !attach) await Promise.all(names.map(this.#worker));
    const remotes = this.#options.remotes ?? [];
    const own = Array.from({ length: isEmbedded ? 1 : clients }, (_, index) => `client-${index + 1}`);
    const generators = remotes.length > 0 ? remotes : own.map((name) => this.#crew.start('generator', name));
    await Promise.all(generators.map(({ peer }) => peer.ask('open', this.#site)));
    return generators;
  }

  async #prepare(step: Step, generators: readonly Hand[]): Promise<void> {
    if (step.isAfterRestart === true) await this.#restart(generators);
    const parts = this.#parts(step, generators.length);
    this.#options.viewer.begins(`preparing ${step.name}`, { warmupMs: 0, durationMs: 0, unit: this.#scenario.unit });
    await Promise.all(generators.map(({ peer }, index) => peer.ask('prepare', parts[index])));
    this.#options.viewer.ends();
  }

  readonly #worker = async (name: string): Promise<Hand> => {
    const hand = this.#crew.start('worker', name);
    await hand.peer.ask('open', this.#site);
    return hand;
  };

  #work(step: string, { growth }: Pick<Step, 'growth'> = {}): Work {
    const { keys, skew, stateBytes, faults } = this.#plan;
    const isDisturbed = faults.length > 0;
    const work = { scenario: this.#scenario.name, step, run: this.#options.run, keys, skew, stateBytes, isDisturbed };
    return growth === undefined ? work : { ...work, growth };
  }

  /** Each generator's. */
  #parts(step: Step, of: number, more: Partial<Load> = {}): Part[] {
    const work = this.#work(step.name, step);
    const counted = step.calls === undefined ? {} : { ...whole, callsMax: Math.ceil(step.calls / of) };
    return Array.from({ length: of }, (_, index) => ({
      work,
      load: { ...this.#load(index, of), ...counted, ...more },
    }));
  }

  #load(index: number, of: number): Load {
    const { concurrency, ratePerS, warmupMs, durationMs } = this.#plan;
    const lanes = Math.max(1, Math.floor(concurrency / of) + (index < concurrency % of ? 1 : 0));
    return { index, of, lanes, ...shareOf(ratePerS, of), delayMs, warmupMs, durationMs };
  }

  async #step(step: Step, generators: readonly Hand[]): Promise<StepOutcome> {
    await this.#prepare(step, generators);
    await this.#extra(generators);
    const paced = await this.#paced(generators);
    const { viewer } = this.#options;
    const parts = this.#parts(step, generators.length, shareOf(paced?.ratePerS, generators.length));
    const { warmupMs, durationMs } = parts[0]?.load ?? this.#plan;
    viewer.begins(step.name, { warmupMs, durationMs, unit: this.#scenario.unit });
    const ending = new AbortController();
    const running = Promise.all(generators.map(({ peer }, index) => peer.ask<Measured>('run', parts[index])));
    const ended = running.then(() => undefined);
    void ended.catch(() => undefined).then(() => ending.abort());
    void this.#watch(generators, ending.signal);
    await Promise.race([ended, pause(delayMs + warmupMs)]);
    const beganAt = performance.now();
    const memory = new MemoryWatch(this.#usages);
    const before = await this.#usages();
    memory.saw(before);
    void memory.keep(durationMs, ending.signal);
    const making = this.#makeFaults(generators, beganAt, ended);
    await Promise.race([ended, passed(durationMs, ending.signal)]);
    const ms = performance.now() - beganAt;
    const after = await this.#usages();
    memory.saw(after);
    const measured = await running;
    const marks = await making;
    viewer.ends();
    const processes = useBetween([before, after], ms, (usage) => memory.of(usage));
    const extra = await this.#extra(generators);
    return { step: step.name, measured, processes, marks, extra, ...(paced === undefined ? {} : { paced }) };
  }

  /** What who hosts the entities has seen since the last time. */
  async #extra(generators: readonly Hand[]): Promise<Measured['extra']> {
    const workers = this.#crew.hands.filter(({ kind }) => kind === 'worker');
    const hosts = this.#site.natsUrl === undefined ? generators : workers;
    const told = await Promise.all(hosts.map(({ peer }) => peer.ask<Measured['extra']>('extra')));
    return joined(told);
  }

  /** What a closed loop reaches on the same cluster, and the part of it that is asked for. */
  async #paced(generators: readonly Hand[]): Promise<Paced | undefined> {
    const { ratePart, warmupMs, durationMs } = this.#plan;
    if (ratePart === undefined) return undefined;
    const time = { warmupMs, durationMs: Math.min(maximumMs, durationMs) };
    const parts = this.#parts({ name: 'maximum' }, generators.length, time);
    this.#options.viewer.begins('looking for the maximum', { ...time, unit: 'calls' });
    const ending = new AbortController();
    void this.#watch(generators, ending.signal);
    const running = Promise.all(generators.map(({ peer }, index) => peer.ask<Measured>('run', parts[index])));
    const measured = await running.finally(() => ending.abort());
    this.#options.viewer.ends();
    const maximumPerS = measured.reduce((sum, { calls, elapsedMs }) => sum + (calls * 1_000) / elapsedMs, 0);
    const ratePerS = Math.max(1, Math.round(maximumPerS * ratePart));
    return { maximumPerS: Math.round(maximumPerS), ratePerS };
  }

  /** Restarts the hosts of the entities, so that entities are read from the store. */
  async #restart(generators: readonly Hand[]): Promise<void> {
    const workers = this.#crew.hands.filter(({ kind }) => kind === 'worker');
    if (this.#site.natsUrl === undefined) for (const { peer } of generators) await peer.ask('reopen');
    for (const worker of workers) {
      await worker.peer.ask('close');
      this.#crew.forget(worker);
      await worker.end();
    }
    await Promise.all(workers.map(({ name }) => this.#worker(name)));
  }

  #makeFaults(generators: readonly Hand[], beganAt: number, ended: Promise<void>): Promise<Mark[]> {
    const maker = new FaultMaker({
      crew: this.#crew,
      generators,
      isEmbedded: this.#site.natsUrl === undefined,
      startWorker: this.#worker,
      traffic: () => this.#options.place.traffic(),
    });
    return maker.make(this.#plan.faults, beganAt, ended);
  }

  readonly #usages = async (): Promise<Usage[]> => {
    const hands = this.#crew.hands.filter(({ kind }) => kind !== 'responder');
    const known = new Set([...hands, ...(this.#options.remotes ?? [])]);
    const usages = await Promise.all(Array.from(known, ({ peer }) => peer.ask<Usage>('usage').catch(() => undefined)));
    return [...usages.filter((usage) => usage !== undefined), ...this.#options.place.usages];
  };

  async #verdict(generators: readonly Hand[]): Promise<Verdict> {
    const journals = await Promise.all(generators.map(({ peer }) => peer.ask<Entries>('journal')));
    const entries = together(journals);
    const [first] = generators;
    if (first === undefined) return { lost: 0, doubled: 0, checked: 0 };
    this.#options.viewer.begins('checking', { warmupMs: 0, durationMs: 0, unit: 'keys' });
    const verdict = await first.peer.ask<Verdict>('check', { work: this.#work('check'), entries });
    this.#options.viewer.ends();
    return verdict;
  }

  async #watch(generators: readonly Hand[], ending: AbortSignal): Promise<void> {
    while (!ending.aborted) {
      await pause(lookMs, undefined, { signal: ending }).catch(() => undefined);
      if (ending.aborted) return;
      const counts = await Promise.all(generators.map(({ peer }) => peer.ask<number>('progress').catch(() => 0)));
      if (!ending.aborted) this.#options.viewer.progress(counts.reduce((sum, count) => sum + count, 0));
    }
  }
}
