/**
 * simulate(): one run of a whole cluster on virtual time, from one seed.
 *
 *     workload under faults ─▶ heal ─▶ everything finishes (or P7 is violated) ─▶ afterwards ─▶ forgetting (P10)
 *
 * Owns the phases and what it means that everything has finished. Who breaks what is `cluster.ts`, who notices `watch.ts`.
 */
import type { Behaviour } from '../../core/behaviour.ts';
import { defaultLimits, type Limits } from '../../core/limits.ts';
import { Chance } from './chance.ts';
import { type SimulatedClient, SimulatedCluster } from './cluster.ts';
import { drawFaults, FaultCount, type FaultRates } from './faults.ts';
import { type CrashPoint, FaultyStore } from './faulty-store.ts';
import { Image, type StoredEntity } from './image.ts';
import { Network } from './network.ts';
import { newNode, type SimulatedNode, VirtualTime } from './virtual-time.ts';
import { type Invariant, type Violation, Watch } from './watch.ts';

/** The stage of a run, for the workload and its checks. */
export interface Stage {
  readonly seed: number;
  readonly limits: Limits;
  /** A client on a node of its own. */
  connect(name: string): SimulatedClient;
  /** Chance for one concern: the same for the same seed and name. */
  chance(concern: string): Chance;
  /** True time, ms. */
  now(): number;
  /** Resolves after a while of virtual time: for effects. */
  sleep(ms: number): Promise<void>;
  /** Report what must not be. */
  violate(promise: string, text: string): void;
  /** Every entity as it is stored now. */
  entities(): StoredEntity[];
  /** What was ever stored. */
  readonly image: Image;
  /** Whether the network made more than one copy of a call whose input holds this (ASCII) text. */
  isDuplicated(text: string): boolean;
}

export interface Scenario {
  /** Made anew for each run, since effects may need its stage. */
  readonly behaviours: (stage: Stage) => readonly Behaviour[];
  /** What clients do while faults happen; resolves when all of it has been answered or given up. */
  readonly workload: (stage: Stage) => Promise<void>;
  /** After everything has healed and finished. */
  readonly afterwards?: (stage: Stage) => Promise<void>;
  /** Once nothing happens any more. */
  readonly finally?: (stage: Stage) => void;
  /** By entity type: throws what is wrong with an entity as it was just committed (P1). */
  readonly invariants?: Readonly<Record<string, Invariant>>;
}

export interface SimulationOptions {
  readonly seed: number;
  readonly scenario: Scenario;
  readonly workers?: number;
  readonly partitions?: number;
  readonly limits?: Partial<Limits>;
  /** Default: drawn from the seed. */
  readonly faults?: Partial<FaultRates>;
  /** For how long faults happen, and how long everything may take to finish after them, virtual ms. */
  readonly faultMs?: number;
  readonly settleMs?: number;
  /** How long after that every activity must have been forgotten, virtual ms. */
  readonly forgetMs?: number;
  readonly trace?: (line: string) => void;
}

export interface SimulationReport {
  readonly seed: number;
  /** The same for the same seed, code and options. */
  readonly hash: string;
  readonly violations: readonly Violation[];
  readonly faults: Readonly<Record<string, number>>;
  readonly turns: number;
  readonly events: number;
  readonly virtualMs: number;
}

/** Events of virtual time, a second, that a cluster at rest may have. */
const idleEventsMax = 100;

/** Run one seed. Resolves with what was found; never rejects for what the code under test does. */
export async function simulate(options: SimulationOptions): Promise<SimulationReport> {
  const run = new Run(options);
  const onRejection = (error: unknown) => run.broken(error);
  process.on('unhandledRejection', onRejection);
  try {
    await run.perform();
  } finally {
    process.off('unhandledRejection', onRejection);
  }
  return run.report();
}

class Run {
  readonly #options: SimulationOptions;
  readonly #time: VirtualTime;
  readonly #image = new Image();
  readonly #count = new FaultCount();
  readonly #limits: Limits;
  readonly #network: Network;
  readonly #watch: Watch;
  readonly #stage: Stage;
  readonly #cluster: SimulatedCluster;
  readonly #director = newNode('director');

  constructor(options: SimulationOptions) {
    this.#options = options;
    const { seed, scenario } = options;
    this.#time = new VirtualTime((error) => this.broken(error), options.trace);
    this.#limits = { ...defaultLimits, ...options.limits };
    const rates = { ...drawFaults(new Chance(seed, 'faults')), ...options.faults };
    const common = { time: this.#time, count: this.#count };
    this.#network = new Network({
      ...common,
      chance: new Chance(seed, 'network'),
      transitMaxMs: this.#limits.transitMaxMs,
      rates,
    });
    this.#stage = this.#newStage();
    const behaviours = scenario.behaviours(this.#stage);
    const partitions = options.partitions ?? 8;
    const byType = new Map(behaviours.map((one) => [one.contract.type, one]));
    this.#watch = new Watch({
      time: this.#time,
      image: this.#image,
      partitions,
      behaviours: byType,
      invariants: scenario.invariants ?? {},
    });
    const store = new FaultyStore({
      ...common,
      chance: new Chance(seed, 'store'),
      partitions,
      rates,
      committed: (node, group, outcomes) => this.#watch.committed(node, group, outcomes),
      claimed: (node, claims) => this.#watch.claimed(node, claims),
      mayCrash: (node: SimulatedNode, point: CrashPoint) => this.#cluster.mayCrash(node, point),
    });
    const { limits } = this.#stage;
    this.#cluster = new SimulatedCluster({
      seed,
      ...common,
      watch: this.#watch,
      network: this.#network,
      store,
      behaviours,
      limits,
      workers: options.workers ?? 3,
      rates,
    });
  }

  #newStage(): Stage {
    const { seed } = this.#options;
    return {
      seed,
      limits: this.#limits,
      image: this.#image,
      connect: (name) => this.#cluster.connect(name),
      chance: (concern) => new Chance(seed, concern),
      now: () => this.#time.now,
      sleep: (ms) => new Promise((resolve) => void this.#time.schedule(this.#director, ms, 'sleep', resolve)),
      violate: (promise, text) => this.#watch.violate(promise, text),
      entities: () => [...this.#image.entities.values()].map((entity) => this.#image.decoded(entity)),
      isDuplicated: (text) => this.#network.duplicatedInputs.some((input) => input.includes(text)),
    };
  }

  broken(error: unknown): void {
    this.#watch.violate(
      'bug',
      error instanceof Error ? (error.stack ?? error.message).split('\n').slice(0, 4).join(' | ') : String(error),
    );
  }

  get #isBroken(): boolean {
    return this.#watch.violations.length > 0;
  }

  async perform(): Promise<void> {
    const { scenario, faultMs = 20_000, settleMs = 120_000, forgetMs } = this.#options;
    await this.#time.run(5_000, () => this.#cluster.isComplete);
    this.#cluster.disturb();
    const workload = this.#track('the workload', scenario.workload(this.#stage));
    await this.#time.run(faultMs, () => this.#isBroken);
    this.#time.note('heal');
    this.#cluster.heal();
    this.#watch.healedAt = this.#time.now;
    await this.#settle(settleMs, [workload]);
    if (scenario.afterwards !== undefined && !this.#isBroken) {
      await this.#settle(settleMs, [this.#track('what comes afterwards', scenario.afterwards(this.#stage))]);
    }
    if (forgetMs !== undefined && !this.#isBroken) {
      const before = this.#time.eventCount;
      await this.#time.run(forgetMs, () => this.#isBroken);
      this.#checkForgotten();
      const perSecond = (this.#time.eventCount - before) / (forgetMs / 1_000);
      if (perSecond > idleEventsMax)
        this.#watch.violate('bug', `${Math.round(perSecond)} events a second though nothing happens any more`);
    }
    if (!this.#isBroken) scenario.finally?.(this.#stage);
  }

  #track(name: string, promise: Promise<void>): { readonly name: string; isDone: boolean } {
    const tracked = { name, isDone: false };
    promise.then(
      () => {
        tracked.isDone = true;
      },
      (error: unknown) => this.broken(error),
    );
    return tracked;
  }

  /** Everything must finish by itself: calls, outboxes, timers, holds, effects (P7). */
  async #settle(
    settleMs: number,
    tracked: readonly { readonly name: string; readonly isDone: boolean }[],
  ): Promise<void> {
    const steps = Math.ceil(settleMs / 500);
    for (let step = 0; step < steps && !this.#isBroken; step++) {
      await this.#time.run(500, () => this.#isBroken);
      if (tracked.every(({ isDone }) => isDone) && this.#cluster.isComplete && this.#unfinished(1).length === 0) return;
    }
    if (this.#isBroken) return;
    const open = tracked.filter(({ isDone }) => !isDone).map(({ name }) => name);
    this.#watch.violate(
      'P7',
      `not finished ${settleMs} ms after everything had healed: ${[...open, ...this.#unfinished(4)].join('; ')}`,
    );
  }

  #unfinished(limit: number): string[] {
    const found: string[] = [];
    for (const entity of this.#image.entities.values()) {
      for (const name of entity.records.keys()) {
        const letter = name[0] ?? '';
        const isOpen =
          'oft'.includes(letter) ||
          (letter === 'x' && this.#image.decoded(entity).holds.get(name.slice(1))?.isLapsed !== true);
        if (isOpen) found.push(`${entity.address} has ${JSON.stringify(name)}`);
        if (found.length >= limit) return found;
      }
    }
    return found;
  }

  /**
   * A conversation that is over leaves nothing but what the application keeps about the partner (P10). What nobody closed,
   * as clients do not, goes when there is more of it than fits in memory.
   */
  #checkForgotten(): void {
    for (const entity of this.#stage.entities()) {
      let lazyCount = 0;
      for (const [partner, { inbound, outbound, application }] of entity.partners) {
        const isKept = inbound === undefined || inbound.keepUntil > this.#time.now || application.value !== undefined;
        if (outbound === undefined && isKept) continue;
        if (outbound === undefined && inbound?.closedAt === 0) lazyCount += 1;
        else
          this.#watch.violate(
            'P10',
            `${entity.address} still remembers ${partner}: ${JSON.stringify({ inbound, outbound })}`,
          );
      }
      const most = 2 * this.#limits.activityCountMax;
      if (lazyCount > most)
        this.#watch.violate(
          'P10',
          `${entity.address} still remembers ${lazyCount} partners, of whom it need not remember any`,
        );
    }
  }

  report(): SimulationReport {
    return {
      seed: this.#options.seed,
      hash: this.#time.hash,
      violations: this.#watch.violations,
      faults: this.#count.counts,
      turns: this.#cluster.turns,
      events: this.#time.eventCount,
      virtualMs: this.#time.elapsedMs,
    };
  }
}
