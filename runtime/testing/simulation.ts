/**
 * simulate(): one run of a whole cluster on virtual time, from one seed.
 *
 *     workload under faults ─▶ heal ─▶ everything finishes (or P7 is violated) ─▶ afterwards ─▶ forgetting (P10)
 *
 * Owns the phases, and the test whether everything has finished. `chaos.ts` injects the faults, `checker.ts` finds violations.
 * Longer than 400 lines because the options of a scenario are documented here, where their users look.
 */
import type { Behaviour } from '../../core/behaviour.ts';
import { SkerryError, stackText } from '../../core/errors.ts';
import { defaultLimits, type Limits } from '../../core/limits.ts';
import {
  callable,
  checkOptions,
  count,
  duration,
  finite,
  type OptionTable,
  record,
  share,
} from '../../core/options.ts';
import { checkPlacementLimits, defaultPlacementLimits, type PlacementLimits } from '../../placement/limits.ts';
import { Placement } from '../../placement/placement.ts';
import { type ProtocolRange, viewOf } from '../../placement/view.ts';
import { checkLimits, hostedTypes } from '../options.ts';
import { protocol } from '../wire/codec.ts';
import type { Party } from '../wire/subjects.ts';
import type { Authorise } from '../worker/authorise.ts';
import { Chaos } from './chaos.ts';
import { Checker, type Invariant, type Violation } from './checker.ts';
import { type SimulatedClient, SimulatedCluster, type WorkerKind } from './cluster.ts';
import { type Counts, Coverage } from './coverage.ts';
import { drawFaults, type FaultRates, noFaults } from './faults.ts';
import { type CrashPoint, FaultyStore } from './faulty-store.ts';
import { Image, type StoredEntity } from './image.ts';
import { Network } from './network.ts';
import { SeededRandom } from './random.ts';
import { thrownText } from './thrown.ts';
import { isUnfinished, unfinished } from './unfinished.ts';
import { newNode, type SimulatedNode, VirtualTime } from './virtual-time.ts';

/** The stage of a run, for its workload and checks. */
export interface Stage {
  readonly seed: number;
  readonly limits: Limits;
  /** Size of the transport's largest frame, bytes. */
  readonly frameBytesMax: number;
  /**
   * Connect a client on its own node, with an identity (default '': none) and a role (default `tool`). Resolves when the
   * client knows a view.
   */
  connect(name: string, identity?: string, as?: Party): Promise<SimulatedClient>;
  /** Random numbers for one concern; the same for the same seed and concern. */
  chance(concern: string): SeededRandom;
  /** True time, ms. The clocks of nodes may differ from it. */
  now(): number;
  /** Resolves after `ms` of virtual time. For effects. */
  sleep(ms: number): Promise<void>;
  /** Record that the workload has reached a mechanism that some run must cover. */
  covered(mechanism: string): void;
  /** Report a violation of a promise. */
  violate(promise: string, text: string): void;
  /** Every entity as it is stored now. */
  entities(): StoredEntity[];
  /** @internal Everything that was ever stored. */
  readonly image: Image;
  /** Number of times that the store returned to an earlier state. Acknowledged turns may then be lost (P8). */
  readonly lossCount: () => number;
  /** @internal Whether commits of an entity were lost since then, true time. */
  readonly lostSince: (address: string, at: number) => boolean;
  /** Whether the network made more than one copy of a call whose input contains this (ASCII) text. */
  isDuplicated(text: string): boolean;
}

/** The application under test, its workload, and its checks. */
export interface Scenario {
  /** The behaviours of the workers. Called once per run, because effects may need its stage. */
  readonly behaviours: (stage: Stage) => readonly Behaviour[];
  /**
   * Behaviours of types that only every second worker hosts, as after a partial deployment. They require a label that only
   * those workers have.
   */
  readonly later?: (stage: Stage) => readonly Behaviour[];
  /**
   * The same types in the application's next version. From the fault `deploy` on, workers that start run it, beside workers
   * that run the first version. When everything heals, the remaining workers are restarted with it.
   */
  readonly upgraded?: (stage: Stage) => readonly Behaviour[];
  /** The workers' authorisation hook. */
  readonly authorise?: Authorise;
  /** The clients' actions while faults happen. Resolves when every call has been answered or given up. */
  readonly workload: (stage: Stage) => Promise<void>;
  /** Checks by calls, after everything has healed and finished. */
  readonly afterwards?: (stage: Stage) => Promise<void>;
  /** Checks without calls, when nothing happens any more. */
  readonly finally?: (stage: Stage) => void;
  /** By entity type: a check of each entity after each commit (P1). It throws for a violation. */
  readonly invariants?: Readonly<Record<string, Invariant>>;
}

export interface SimulationOptions {
  /** The same seed, code and options give the same run. */
  readonly seed: number;
  readonly scenario: Scenario;
  /** Number of workers at the start (default 3). */
  readonly workers?: number;
  /** Number of partitions (default 8). */
  readonly partitions?: number;
  readonly limits?: Partial<Limits>;
  readonly placementLimits?: Partial<PlacementLimits>;
  /** Size of the transport's largest frame, bytes (default 1 MiB). */
  readonly frameBytesMax?: number;
  /** Fault rates that override those drawn from the seed. `noFaults` turns all off. */
  readonly faults?: Partial<FaultRates>;
  /** How long faults happen, virtual ms (default 20,000). */
  readonly faultMs?: number;
  /**
   * How long everything may take to finish after the faults, virtual ms (default 120,000): calls, outboxes, timers, holds,
   * effects. Make it longer than the longest timer and hold.
   */
  readonly settleMs?: number;
  /** How long after that every activity must have been forgotten, virtual ms (default: not checked). */
  readonly forgetMs?: number;
  /** Called with each line of the run's trace. */
  readonly trace?: (line: string) => void;
}

export const simulationOptions: OptionTable<SimulationOptions> = {
  seed: finite,
  scenario: record,
  workers: count(1),
  partitions: count(1),
  limits: record,
  placementLimits: record,
  frameBytesMax: count(1),
  faults: record,
  faultMs: duration,
  settleMs: duration,
  forgetMs: duration,
  trace: callable,
};

export const scenarioOptions: OptionTable<Scenario> = {
  behaviours: callable,
  later: callable,
  upgraded: callable,
  authorise: callable,
  workload: callable,
  afterwards: callable,
  finally: callable,
  invariants: record,
};

const rates = Object.fromEntries(Object.keys(noFaults).map((name) => [name, share]));

const needs = ({ behaviours, workload }: Scenario) => ({ behaviours, workload });

/** Throws `invalid-definition`. A misspelt fault would never happen, and the run would find nothing. */
function checkSimulation(options: SimulationOptions): void {
  checkOptions('simulate()', options, simulationOptions);
  const { seed, scenario } = options;
  if (scenario !== undefined) checkOptions('the scenario', scenario, scenarioOptions);
  const needed = scenario === undefined ? { seed, scenario } : { seed, ...needs(scenario) };
  const lacking = Object.entries(needed).flatMap(([name, value]) => (value === undefined ? [name] : []));
  if (lacking.length > 0) throw new SkerryError('invalid-definition', `simulate() lacks ${lacking.join(', ')}`);
  checkOptions('faults', options.faults ?? {}, rates);
  checkLimits(options.limits ?? {});
  checkPlacementLimits(options.placementLimits ?? {});
}

/** The result of one run. */
export interface SimulationReport {
  readonly seed: number;
  /** Hash of the run's trace; the same for the same seed, code and options. */
  readonly hash: string;
  /** Broken promises; empty if the run found none. */
  readonly violations: readonly Violation[];
  /** Number of faults injected, by kind. */
  readonly faults: Readonly<Counts>;
  /** Number of faults by `operation × fault`. */
  readonly pairs: Readonly<Counts>;
  /** How often each mechanism of the code under test ran. */
  readonly mechanisms: Readonly<Counts>;
  /** Number of committed turns. */
  readonly turns: number;
  /** Number of events of virtual time. */
  readonly events: number;
  /** Duration of the run, virtual ms. */
  readonly virtualMs: number;
}

/** After this long without faults the cluster has converged: every worker is in the view, and every process knows it, virtual ms. */
const convergeMs = 30_000;
const restMs = 2_000;
/** Maximum number of things to do that a violation names. */
const unfinishedCountMax = 8;
/** Maximum events per virtual second of an idle cluster. */
const idleEventsMax = 130;

/**
 * Run a scenario on a simulated cluster with faults, from one seed. Resolves with a report, also if the code under test
 * fails; its violations say how. Rejects with `invalid-definition` for wrong options.
 */
export async function simulate(options: SimulationOptions): Promise<SimulationReport> {
  checkSimulation(options);
  const run = new Run(options);
  const onRejection = (error: unknown) => run.broken(error);
  process.on('unhandledRejection', onRejection);
  try {
    await run.execute();
  } finally {
    process.off('unhandledRejection', onRejection);
  }
  return run.report();
}

class Run {
  readonly #options: SimulationOptions;
  readonly #time: VirtualTime;
  readonly #image = new Image();
  readonly #coverage = new Coverage();
  readonly #limits: Limits;
  readonly #network: Network;
  readonly #checker: Checker;
  readonly #stage: Stage;
  readonly #cluster: SimulatedCluster;
  readonly #chaos: Chaos;
  readonly #store: FaultyStore;
  readonly #rates: FaultRates;
  readonly #frameBytesMax: number;
  #isFaulty = false;
  readonly #director = newNode('director');

  constructor(options: SimulationOptions) {
    this.#options = options;
    const { seed, scenario } = options;
    this.#time = new VirtualTime((error) => this.broken(error), options.trace);
    // The simulator crashes workers in the middle of innocent turns far more often than a machine would.
    this.#limits = { ...defaultLimits, fatalEndsMax: 1_000, ...options.limits };
    this.#frameBytesMax = options.frameBytesMax ?? 1_048_576;
    this.#rates = { ...drawFaults(new SeededRandom(seed, 'faults')), ...options.faults };
    this.#network = new Network({
      time: this.#time,
      coverage: this.#coverage,
      chance: new SeededRandom(seed, 'network'),
      transitMaxMs: this.#limits.transitMaxMs,
      frameBytesMax: this.#frameBytesMax,
      rates: this.#rates,
    });
    this.#stage = this.#newStage();
    const behaviours = scenario.behaviours(this.#stage);
    const later = scenario.later?.(this.#stage) ?? [];
    const partitions = options.partitions ?? 8;
    this.#checker = this.#newWatch([...behaviours, ...later], partitions);
    this.#store = this.#newStore(partitions);
    const upgraded = scenario.upgraded?.(this.#stage);
    // Without an upgrade all are of one release, and a message that it can send can be read.
    const [first, next] = upgraded === undefined ? [protocol, protocol] : protocolsOf(seed);
    this.#cluster = this.#newCluster(
      kindsOf(behaviours, later, first),
      upgraded === undefined ? undefined : kindsOf(upgraded, later, next),
    );
    this.#chaos = this.#newChaos();
  }

  #newWatch(behaviours: readonly Behaviour[], partitions: number): Checker {
    return new Checker({
      time: this.#time,
      image: this.#image,
      placement: new Placement(viewOf(1, partitions, ['anybody'], hostedTypes(behaviours))),
      behaviours: new Map(behaviours.map((one) => [one.contract.type, one])),
      invariants: this.#options.scenario.invariants ?? {},
    });
  }

  #newStore(partitions: number): FaultyStore {
    return new FaultyStore({
      time: this.#time,
      coverage: this.#coverage,
      chance: new SeededRandom(this.#options.seed, 'store'),
      partitions,
      rates: this.#rates,
      committing: (node, group) => this.#checker.committing(node, group),
      committed: (node, group, outcomes) => this.#checker.committed(node, group, outcomes),
      claimed: (node, claims) => this.#checker.claimed(node, claims),
      pinned: (address, worker, raised) => this.#checker.pinned(address, worker, raised),
      wentBack: (...lost) => this.#checker.wentBack(...lost),
      lossReported: (node, partition) => this.#checker.lossFound(node, partition),
      mayCrash: (node: SimulatedNode, point: CrashPoint, operations) => this.#cluster.mayCrash(node, point, operations),
    });
  }

  #newCluster(kindOf: KindOf, nextKindOf: KindOf | undefined): SimulatedCluster {
    const { seed, scenario, workers = 3, placementLimits } = this.#options;
    const crashes = new SeededRandom(seed, 'crashes');
    return new SimulatedCluster({
      seed,
      time: this.#time,
      coverage: this.#coverage,
      checker: this.#checker,
      network: this.#network,
      store: this.#store,
      kindOf,
      nextKindOf,
      authorise: scenario.authorise,
      limits: this.#limits,
      placementLimits: { ...defaultPlacementLimits, ...placementLimits },
      workers,
      isCrashing: () => this.#isFaulty && crashes.hits(this.#rates.crash),
    });
  }

  #newChaos(): Chaos {
    const { seed, placementLimits } = this.#options;
    return new Chaos({
      time: this.#time,
      coverage: this.#coverage,
      chance: new SeededRandom(seed, 'chaos'),
      network: this.#network,
      store: this.#store,
      cluster: this.#cluster,
      placementLimits: { ...defaultPlacementLimits, ...placementLimits },
      rates: this.#rates,
      pinnable: () => [
        ...this.#image.entities.keys(),
        ...this.#cluster.workers.flatMap(({ member }) => member.worker.unstored),
      ],
      keepStore: () => this.#store.keep(this.#image),
    });
  }

  #newStage(): Stage {
    const { seed } = this.#options;
    return {
      seed,
      limits: this.#limits,
      frameBytesMax: this.#frameBytesMax,
      image: this.#image,
      connect: (name, identity = '', as = 'tool') => this.#cluster.connect(name, identity, as),
      chance: (concern) => new SeededRandom(seed, concern),
      now: () => this.#time.now,
      sleep: (ms) => new Promise((resolve) => void this.#time.schedule(this.#director, ms, 'sleep', resolve)),
      covered: (mechanism) => this.#coverage.mechanism(mechanism),
      violate: (promise, text) => this.#checker.violate(promise, text),
      entities: () => [...this.#image.entities.values()].map((entity) => this.#image.decoded(entity)),
      lossCount: () => this.#checker.lossCount,
      lostSince: (address, at) => this.#checker.lostSince(address, at),
      isDuplicated: (text) => this.#network.duplicatedInputs.some((input) => input.includes(text)),
    };
  }

  broken(error: unknown): void {
    this.#checker.violate('bug', stackText(error));
  }

  get #isBroken(): boolean {
    return this.#checker.violations.length > 0;
  }

  async execute(): Promise<void> {
    const { scenario, faultMs = 20_000, settleMs = 120_000, forgetMs } = this.#options;
    await this.#time.run(30_000, () => this.#cluster.unsettled === undefined);
    this.#isFaulty = true;
    this.#chaos.begin();
    const workload = this.#track('the workload', scenario.workload);
    await this.#time.run(faultMs, () => this.#isBroken);
    this.#heal();
    await this.#settle(settleMs, [workload]);
    if (scenario.afterwards !== undefined && !this.#isBroken) {
      await this.#settle(settleMs, [this.#track('what comes afterwards', scenario.afterwards)]);
      // What is written only every now and then is written by then.
      await this.#time.run(restMs, () => this.#isBroken);
    }
    if (forgetMs !== undefined && !this.#isBroken) {
      const before = this.#time.eventCount;
      await this.#time.run(forgetMs, () => this.#isBroken);
      this.#checkStill();
      this.#checkForgotten();
      const perSecond = (this.#time.eventCount - before) / (forgetMs / 1_000);
      if (perSecond > idleEventsMax)
        this.#checker.violate('bug', `${Math.round(perSecond)} events a second though nothing happens any more`);
    }
    if (!this.#isBroken) this.#checker.checkLosses();
    if (!this.#isBroken) await this.#checkReleased();
    if (!this.#isBroken && scenario.finally !== undefined) this.#finish(scenario.finally);
  }

  async #checkReleased(): Promise<void> {
    const released = new Set<SimulatedNode>();
    await this.#time.run(restMs, () => this.#cluster.noteReleased(released));
    this.#cluster.checkReleased(released);
  }

  #heal(): void {
    this.#time.note('heal');
    this.#isFaulty = false;
    this.#network.rates = noFaults;
    this.#store.rates = noFaults;
    this.#chaos.end();
    this.#checker.healedAt = this.#time.now;
  }

  #track(name: string, run: (stage: Stage) => Promise<void>): { readonly name: string; isDone: boolean } {
    const tracked = { name, isDone: false };
    const act = async () => run(this.#stage);
    act().then(
      () => {
        tracked.isDone = true;
      },
      (error: unknown) => this.#scenarioThrew(name, error),
    );
    return tracked;
  }

  #finish(check: (stage: Stage) => void): void {
    try {
      check(this.#stage);
    } catch (error) {
      this.#scenarioThrew('the last check', error);
    }
  }

  /** The scenario's own code: not a broken promise of Skerry. */
  #scenarioThrew(name: string, error: unknown): void {
    this.#checker.violate('scenario', `${name} threw ${thrownText(error)}`);
  }

  /** Runs until everything has finished by itself: calls, outboxes, timers, holds, effects (P7). */
  async #settle(
    settleMs: number,
    tracked: readonly { readonly name: string; readonly isDone: boolean }[],
  ): Promise<void> {
    const steps = Math.ceil(settleMs / 500);
    for (let step = 0; step < steps && !this.#isBroken; step++) {
      await this.#time.run(500, () => this.#isBroken);
      const { unsettled, leftAt } = this.#cluster;
      // A worker that leaves has its own time for that; another process with its name starts afterwards.
      if (unsettled !== undefined && this.#time.now > Math.max(this.#checker.healedAt, leftAt) + convergeMs)
        return this.#checker.violate(
          'PL2',
          `the cluster has not settled ${convergeMs} ms after everything had healed: ${unsettled}`,
        );
      if (
        tracked.every(({ isDone }) => isDone) &&
        unsettled === undefined &&
        !isUnfinished(this.#image, this.#time.now)
      )
        return;
    }
    if (this.#isBroken) return;
    const open = tracked.filter(({ isDone }) => !isDone).map(({ name }) => name);
    const rest = unfinished(this.#image, this.#time.now);
    const found = [...open, ...rest.slice(0, unfinishedCountMax).map(({ text }) => text)];
    if (rest.length > unfinishedCountMax) found.push(`and ${rest.length - unfinishedCountMax} more`);
    this.#checker.violate('P7', `not finished ${settleMs} ms after everything had healed: ${found.join('; ')}`);
  }

  /** Checks that an idle cluster stays settled: a worker that gave up partitions without cause would leave their dates unattended. */
  #checkStill(): void {
    const { unsettled } = this.#cluster;
    if (unsettled !== undefined)
      this.#checker.violate('PL2', `the cluster has not stayed settled, though nothing happens any more: ${unsettled}`);
  }

  /**
   * Checks that a finished conversation leaves only the application's state about the partner (P10). Streams that were never
   * closed, as those of clients, are dropped only when there are more than fit in memory.
   */
  #checkForgotten(): void {
    for (const entity of this.#stage.entities()) {
      let lazyCount = 0;
      for (const [partner, { inbound, outbound, application }] of entity.partners) {
        const isKept = inbound === undefined || inbound.keepUntil > this.#time.now || application.value !== undefined;
        if (outbound === undefined && isKept) continue;
        if (outbound === undefined && inbound?.closedAt === 0) lazyCount += 1;
        else
          this.#checker.violate(
            'P10',
            `${entity.address} still remembers ${partner}: ${JSON.stringify({ inbound, outbound })}`,
          );
      }
      const most = 2 * this.#limits.activityCountMax;
      if (lazyCount > most)
        this.#checker.violate(
          'P10',
          `${entity.address} still remembers ${lazyCount} partners, of whom it need not remember any`,
        );
    }
  }

  report(): SimulationReport {
    return {
      seed: this.#options.seed,
      hash: this.#time.hash,
      violations: this.#checker.violations,
      faults: this.#coverage.faults,
      pairs: this.#coverage.pairs,
      mechanisms: this.#coverage.mechanisms,
      turns: this.#cluster.turns,
      events: this.#time.eventCount,
      virtualMs: this.#time.elapsedMs,
    };
  }
}

type KindOf = (number: number) => WorkerKind;

/** Protocol versions of workers before and after a deployment: usually all of them; else an upgrade from, or a rollback to, the release before. */
export function protocolsOf(seed: number): readonly [ProtocolRange, ProtocolRange] {
  const chance = new SeededRandom(seed, 'protocols');
  const before: ProtocolRange = { from: protocol.from, to: protocol.from };
  return chance.pick([[protocol, protocol] as const, [before, protocol] as const, [protocol, before] as const]);
}

/** Every second worker runs a later version, which has more types. */
function kindsOf(behaviours: readonly Behaviour[], later: readonly Behaviour[], spoken: ProtocolRange): KindOf {
  const labels = [...new Set(later.flatMap((one) => one.labels))].sort();
  return (number) => {
    const shared = { weight: 1 + (number % 3), protocol: spoken };
    return later.length > 0 && number % 2 === 0
      ? { ...shared, behaviours: [...behaviours, ...later], labels, version: '2' }
      : { ...shared, behaviours, labels: [], version: '1' };
  };
}
