/**
 * Chaos: injects faults into the processes of a cluster, drawn from the seed.
 *
 * Owns the choice of fault, time, target and duration. `cluster.ts` starts and ends processes, `network.ts` applies cuts to
 * frames, `faulty-store.ts` to store calls.
 */
import type { PlacementLimits } from '../../placement/limits.ts';
import type { SimulatedCluster, SimulatedWorker } from './cluster.ts';
import type { Coverage } from './coverage.ts';
import type { FaultRates } from './faults.ts';
import type { FaultyStore } from './faulty-store.ts';
import type { Cut, Network } from './network.ts';
import type { SeededRandom } from './random.ts';
import { newNode, type SimulatedNode, type VirtualTime } from './virtual-time.ts';

export interface ChaosParts {
  readonly time: VirtualTime;
  readonly chance: SeededRandom;
  readonly coverage: Coverage;
  readonly network: Network;
  readonly store: FaultyStore;
  readonly cluster: SimulatedCluster;
  readonly placementLimits: PlacementLimits;
  readonly rates: FaultRates;
  /** Addresses that may be pinned. */
  readonly pinnable: () => readonly string[];
  /** Save the store's content. Returns a function that restores it. */
  readonly keepStore: () => () => Promise<void>;
}

const tickMs = 250;
const workerCountMax = 6;
const pinCountMax = 4;
const cuts: readonly Cut[] = ['both', 'both', 'in', 'out'];

type Act = (worker: SimulatedWorker) => void;

export class Chaos {
  readonly #parts: ChaosParts;
  readonly #node = newNode('chaos');
  readonly #pinned = new Set<string>();
  #isOn = false;

  constructor(parts: ChaosParts) {
    this.#parts = parts;
  }

  begin(): void {
    this.#isOn = true;
    this.#tick();
  }

  /** Ends all faults. Paused and cut-off workers come back; of several processes with one name one stays. */
  end(): void {
    this.#isOn = false;
    const { time, network, store, cluster } = this.#parts;
    cluster.isHealed = true;
    cluster.endHung();
    cluster.recall();
    cluster.finishDeployment();
    network.mendAll();
    store.mendAll();
    for (const { node } of cluster.workers) if (node.isPaused) time.resume(node);
    time.schedule(this.#node, 5_000, 'zombies end', () => cluster.endZombies());
  }

  #tick(): void {
    if (!this.#isOn) return;
    const { cluster, chance } = this.#parts;
    cluster.checkHeld();
    const acts: readonly (readonly [keyof FaultRates, string, Act])[] = [
      ['pause', 'worker paused', (one) => this.#pause(one, this.#longMs())],
      ['cut', 'worker cut off', (one) => this.#cut(one.node, this.#longMs())],
      ['storeCut', 'worker cut off from the store', (one) => this.#cutStore(one, this.#longMs())],
      ['storeHang', 'store hangs for good', (one) => this.#hangStore(one)],
      ['clockStep', 'clock set', ({ node }) => cluster.misguide(node, chance, 'step')],
      ['clockDrift', 'clock drifts', ({ node }) => cluster.misguide(node, chance, 'drift')],
      ['kill', 'worker killed', (one) => cluster.crash(one, 'killed')],
      ['leave', 'worker leaves', (one) => this.#leave(one)],
      ['takeover', 'another process of one name', (one) => this.#takeOver(one)],
    ];
    for (const [kind, name, act] of acts) if (this.#isDue(kind)) this.#toOne(name, act);
    if (this.#isDue('join')) this.#join();
    if (this.#isDue('coup')) this.#coup();
    if (this.#isDue('deploy') && cluster.deploy()) this.#parts.coverage.fault('next version deployed');
    if (this.#isDue('pin')) this.#pin();
    if (this.#isDue('clientCut')) this.#cutClient();
    if (this.#isDue('rollback')) this.#rollBack();
    this.#parts.time.schedule(this.#node, tickMs, 'tick', () => this.#tick());
  }

  #isDue(kind: keyof FaultRates): boolean {
    const { chance, rates } = this.#parts;
    return chance.hits((rates[kind] * tickMs) / 1_000);
  }

  /** Often short, sometimes longer than any wait for a silent worker. */
  #longMs(): number {
    const { chance, placementLimits } = this.#parts;
    return chance.hits(0.6) ? chance.between(20, 1_500) : chance.between(500, 2 * placementLimits.deadMs + 2_000);
  }

  #isSound({ node, isLeaving }: SimulatedWorker): boolean {
    const { network, store } = this.#parts;
    return !isLeaving && !node.isPaused && !network.isCut(node) && !store.isCut(node) && !store.isHung(node);
  }

  #toOne(name: string, act: Act): void {
    const { cluster, coverage, chance } = this.#parts;
    const candidates = cluster.workers.filter((one) => this.#isSound(one));
    if (candidates.length === 0) return;
    const one = chance.pick(candidates);
    coverage.fault(name, cluster.underWayAt(one));
    act(one);
  }

  // ---- acts

  #pause({ node }: SimulatedWorker, ms: number): void {
    const { time } = this.#parts;
    time.pause(node);
    time.schedule(this.#node, ms, `${node.name} goes on`, () => time.resume(node));
  }

  #cut(node: SimulatedNode, ms: number): void {
    const { time, network, chance } = this.#parts;
    const cut = chance.pick(cuts);
    time.note(`${node.name} is cut off: ${cut}`);
    network.cut(node, cut);
    time.schedule(this.#node, ms, `${node.name} is back`, () => network.mend(node));
  }

  #cutStore({ node }: SimulatedWorker, ms: number): void {
    const { time, store } = this.#parts;
    store.cut(node);
    time.schedule(this.#node, ms, `${node.name} has the store again`, () => store.mend(node));
  }

  /** Often an operator notices and ends it; sometimes not before everything heals. */
  #hangStore(one: SimulatedWorker): void {
    const { time, store, cluster, chance } = this.#parts;
    store.hang(one.node);
    if (chance.hits(0.3)) return;
    time.schedule(this.#node, chance.between(1_000, 8_000), `${one.node.name} is ended`, () => {
      if (!one.node.isStopped) cluster.crash(one, 'its store hangs');
    });
  }

  #leave(one: SimulatedWorker): void {
    const { cluster, chance } = this.#parts;
    const isForGood = cluster.names.length > 2 && chance.hits(0.3);
    cluster.leave(one, isForGood);
  }

  #join(): void {
    const { cluster, coverage } = this.#parts;
    if (cluster.names.length >= workerCountMax) return;
    coverage.fault('worker joins');
    cluster.join();
  }

  /** Another process with a worker's name is started while the worker is paused, cut off, or healthy. */
  #takeOver(old: SimulatedWorker): void {
    const { time, cluster, chance } = this.#parts;
    const ms = this.#longMs();
    const way = chance.pick(['pause', 'cut', 'suspicion'] as const);
    if (way === 'pause') this.#pause(old, ms);
    if (way === 'cut') this.#cut(old.node, ms);
    time.schedule(this.#node, chance.between(0, Math.min(ms, 1_000)), `successor of ${old.node.name}`, () => {
      if (this.#isOn && cluster.names.includes(old.name)) cluster.start(old.name);
    });
  }

  /** The worker that runs the placement service is paused or cut off: soon there are two services. */
  #coup(): void {
    const { cluster, coverage, chance } = this.#parts;
    const server = cluster.workers.find((one) => this.#isSound(one) && one.member.isServing);
    if (server === undefined) return;
    coverage.fault('placement service lost', cluster.underWayAt(server));
    if (chance.hits(0.5)) this.#pause(server, this.#longMs());
    else this.#cut(server.node, this.#longMs());
  }

  /** A member is asked to pin or unpin an entity. */
  #pin(): void {
    const { cluster, coverage, chance, pinnable, time } = this.#parts;
    const addresses = pinnable();
    const asked = cluster.workers.filter((one) => this.#isSound(one));
    if (addresses.length === 0 || asked.length === 0) return;
    const isFull = this.#pinned.size >= pinCountMax;
    const address = chance.pick(isFull ? [...this.#pinned] : addresses);
    const worker = isFull || chance.hits(0.3) ? undefined : chance.pick(cluster.names);
    coverage.fault(worker === undefined ? 'unpinned' : 'pinned');
    if (worker === undefined) this.#pinned.delete(address);
    else this.#pinned.add(address);
    time.note(`${address} is pinned to ${worker}`);
    chance
      .pick(asked)
      .member.pin(address, worker)
      .catch((error: unknown) => time.note(`${address} is not pinned: ${String(error)}`));
  }

  /** Later the store returns to its present content. */
  #rollBack(): void {
    const { time, chance, keepStore } = this.#parts;
    const goBack = keepStore();
    time.schedule(this.#node, chance.between(20, 2_500), 'the store goes back', () => {
      if (this.#isOn) goBack().catch(time.onError);
    });
  }

  #cutClient(): void {
    const { cluster, network, coverage, chance } = this.#parts;
    const nodes = cluster.clientNodes.filter((node) => !network.isCut(node));
    if (nodes.length === 0) return;
    coverage.fault('client cut off');
    this.#cut(chance.pick(nodes), this.#longMs());
  }
}
