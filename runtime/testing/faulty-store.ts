/**
 * The simulated store: a memory store behind virtual latency and faults, with one handle per node.
 *
 * A call takes effect at one moment between its start and its answer; the request or the answer may be lost. Owns the fate of
 * each call and the crash points around a commit. The memory store owns the data, the image its history.
 *
 * Longer than 400 lines because every kind of call meets its fate at the same few places.
 *
 * Invariants:
 * - VS1 A call fails with effect 'none' only if nothing of it was or will be written. With 'unknown', each of its commits was
 *   written, is written later, or is not.
 * - VS2 No answer of the store reaches a dead node, a paused one before it resumes, or one for which the store hangs.
 */
import { SkerryError } from '../../core/errors.ts';
import type { Claim, Commit, Epoch, Loaded, Outcome, Partition, RecordName, Store, Wake } from '../store.ts';
import { MemoryStore } from '../stores/memory.ts';
import { type Coverage, operationsOfGroup, partsOf } from './coverage.ts';
import type { FaultRates } from './faults.ts';
import type { Image, Stored } from './image.ts';
import { type Asked, Losses, type Present, storeOf, type Witness } from './losses.ts';
import type { SeededRandom } from './random.ts';
import { newNode, type SimulatedNode, type VirtualTime } from './virtual-time.ts';

/** Points around a commit at which a worker may crash. */
export type CrashPoint = 'before the store has it' | 'the store has it' | 'the answer is here' | 'while releasing';

export interface StoreParts {
  readonly time: VirtualTime;
  readonly chance: SeededRandom;
  readonly coverage: Coverage;
  readonly partitions: number;
  rates: FaultRates;
  /** A node passes these to the store. Returns a function to call when the answer arrives. */
  readonly committing: (node: SimulatedNode, group: readonly Commit[]) => () => void;
  /** The inner store has accepted or rejected these. */
  readonly committed: (node: SimulatedNode, group: readonly Commit[], outcomes: readonly Outcome[]) => void;
  readonly claimed: (node: SimulatedNode, claims: readonly Claim[]) => void;
  /** An entity was pinned to a worker, or (undefined) unpinned, and these epochs were raised. */
  readonly pinned: (address: string, worker: string | undefined, raised: ReadonlyMap<Partition, Epoch>) => void;
  /** The store has lost commits, of these entities. These nodes had their acknowledgements. */
  readonly wentBack: (
    witnesses: readonly Witness[],
    isGone: (partition: Partition) => boolean,
    lost: readonly string[],
  ) => void;
  /** A node has reported that the store lost commits of a partition. */
  readonly lossReported: (node: SimulatedNode, partition: Partition) => void;
  /** May crash the node at this point. */
  readonly mayCrash: (node: SimulatedNode, point: CrashPoint, operations: () => Iterable<string>) => void;
}

/** A group in flight, and what its sender knew of the partitions. */
interface Sent {
  readonly node: SimulatedNode;
  readonly group: readonly Commit[];
  readonly asked: Asked;
}

/** Fates of a commit whose outcome no node learns. */
type Unknown = 'never written' | 'written' | 'written later' | 'written in part';

/** How long a stopped worker may continue with reads that it had begun. */
const windDownMs = 5_000;

type Claims = Map<Partition, { readonly owner: string; readonly epoch: Epoch }>;

/** A saved content of the store. */
interface Kept {
  readonly image: Image;
  readonly counters: ReadonlyMap<Partition, number>;
  readonly claims: Claims;
}

export class FaultyStore {
  inner: MemoryStore;
  readonly #losses: Losses;
  /** Epochs follow the server's clock, which is not set back with its data. */
  readonly #now: () => number;
  /** The highest epoch ever given. After a loss none is given again (S6). */
  #epochMax = 0;
  /** The last claim of each partition. After a loss the store names an earlier one. */
  readonly #claims: Claims = new Map();
  #wentBack = false;
  readonly #parts: StoreParts;
  readonly #node = newNode('store');
  /** Nodes that cannot reach the store. */
  readonly #cut = new Set<SimulatedNode>();
  /** Nodes that the store no longer answers. */
  readonly #hung = new Set<SimulatedNode>();

  constructor(parts: StoreParts) {
    this.#parts = parts;
    // Two claims at one moment: the lost one may have been the later.
    this.#now = () => (this.#wentBack ? Math.max(parts.time.now, this.#epochMax + 1) : parts.time.now);
    this.inner = new MemoryStore({ partitions: parts.partitions, now: this.#now });
    this.#losses = new Losses(parts.lossReported);
  }

  set rates(rates: FaultRates) {
    this.#parts.rates = rates;
  }

  isCut(node: SimulatedNode): boolean {
    return this.#cut.has(node);
  }

  /** Loses what is in flight: a request, or its answer. Calls made meanwhile fail. */
  cut(node: SimulatedNode): void {
    this.#cut.add(node);
  }

  isHung(node: SimulatedNode): boolean {
    return this.#hung.has(node);
  }

  /** From now on the node gets no answer, not even a failure. Calls in flight may still be written. */
  hang(node: SimulatedNode): void {
    this.#hung.add(node);
  }

  mend(node: SimulatedNode): void {
    this.#cut.delete(node);
  }

  mendAll(): void {
    this.#cut.clear();
  }

  /** The store as one node sees it. */
  handle(node: SimulatedNode): Store {
    const read = <Value>(label: string, run: () => Promise<Value>) => this.#call(node, label, run);
    const { id, partitions: count, valueBytesMax } = this.inner;
    return {
      id,
      partitions: count,
      valueBytesMax,
      groupsAtOnce: this.#parts.rates.rollback > 0 ? 1 : 2,
      markOf: (partition, epoch) => this.#losses.markOf(node, partition, epoch),
      onLoss: (tell) => this.#losses.onLoss(node, tell),
      claim: (partitions, owner) => this.#claim(node, partitions, owner),
      pin: (address, partition, worker) => read('pin', () => this.#pin(address, partition, worker)),
      pins: () => read('pins', () => this.inner.pins()),
      lease: (name, holder, call) => read('lease', () => this.inner.lease(name, holder, call)),
      epochs: (partitions): Promise<Epoch[]> => this.#epochs(node, partitions),
      load: (entities, along): Promise<(Loaded | undefined)[]> => read('load', () => this.inner.load(entities, along)),
      commit: (group) => this.#commit(node, group),
      read: (entity, names: readonly RecordName[]) => read('read', () => this.inner.read(entity, names)),
      scan: (entity, prefix, options) => read('scan', () => this.inner.scan(entity, prefix, options)),
      wakes: (partition, options): Promise<Wake[]> => read('wakes', () => this.inner.wakes(partition, options)),
      list: (type, options) => read('list', () => this.inner.list(type, options)),
      close: async () => undefined,
    };
  }

  #latency(operations: () => Iterable<string>): number {
    const { chance, rates, coverage } = this.#parts;
    if (!chance.hits(rates.storeSlow)) return chance.between(0, 3);
    coverage.fault('store slow', operations());
    return chance.between(20, 800);
  }

  async #claim(node: SimulatedNode, partitions: readonly Partition[], owner: string): Promise<Claim[]> {
    const asked = this.#losses.asked(node, partitions);
    const { claims, present } = await this.#call(node, 'claim', () => this.#claimNow(node, partitions, owner));
    this.#losses.claimed(node, present, asked);
    return claims.map((claim) => ({ ...claim, mark: present.get(claim.partition)?.counter ?? 0 }));
  }

  async #claimNow(
    node: SimulatedNode,
    partitions: readonly Partition[],
    owner: string,
  ): Promise<{ readonly claims: Claim[]; readonly present: Present }> {
    const claims = await this.inner.claim(partitions, owner);
    for (const { partition, epoch } of claims) this.#claims.set(partition, { owner, epoch });
    this.#parts.claimed(node, claims);
    const epochs = claims.map(({ epoch }) => epoch);
    this.#epochMax = Math.max(this.#epochMax, ...epochs);
    return { claims, present: this.#losses.present(partitions, epochs) };
  }

  async #epochs(node: SimulatedNode, partitions: readonly Partition[]): Promise<Epoch[]> {
    const asked = this.#losses.asked(node, partitions);
    const present = await this.#call(node, 'epochs', async () =>
      this.#losses.present(partitions, await this.inner.epochs(partitions)),
    );
    this.#losses.heard(node, present, asked);
    return partitions.map((partition) => {
      const epoch = present.get(partition)?.epoch ?? 0;
      return this.#losses.isLost(node, partition, epoch) ? 0 : epoch;
    });
  }

  // ---- losses

  /** Saves the present content. */
  keep(image: Image): () => Promise<void> {
    const kept = { image: image.copy(), counters: this.#losses.keep(), claims: new Map(this.#claims) };
    return () => this.#goBack(kept, image);
  }

  async #goBack(kept: Kept, image: Image): Promise<void> {
    const { time, chance, coverage, wentBack } = this.#parts;
    const { partitions } = this.inner;
    const home = chance.hits(0.5) ? undefined : chance.between(0, partitions - 1);
    const isGone = (partition: Partition) => home === undefined || partition % partitions === home;
    const lost = lostEntities(kept, image, isGone);
    coverage.fault(home === undefined ? 'store went back' : 'one partition went back', partsOfAll(lost));
    wentBack(
      this.#losses.goBack(kept.counters, isGone),
      isGone,
      lost.map(({ address }) => address),
    );
    image.goBack(kept.image, { isGone, partitions });
    for (const partition of [...this.#claims.keys()])
      if (isGone(partition)) this.#claims.set(partition, kept.claims.get(partition) ?? { owner: '', epoch: 0 });
    this.inner = await storeOf(image, { partitions, now: this.#now, claims: this.#claims });
    for (const partition of [...image.epochs.keys()])
      image.epochs.set(partition, (await this.inner.epochs([partition]))[0] ?? 0);
    this.#wentBack = true;
    // After a restart with older data every node has a new connection, and checks the store when it connects.
    for (const node of this.#losses.nodes)
      if (!node.isStopped) time.schedule(node, chance.between(1, 300), 'store is back', () => this.#look(node));
  }

  #look(node: SimulatedNode): void {
    if (node.isStopped) return;
    const again = () => void this.#parts.time.schedule(node, 100, 'store is asked again', () => this.#look(node));
    this.#epochs(node, this.#losses.partitionsOf(node)).catch(again);
  }

  async #pin(address: string, partition: Partition, worker: string | undefined): Promise<void> {
    const raised = [partition % this.inner.partitions, partition];
    await this.inner.pin(address, partition, worker);
    const epochs = await this.inner.epochs(raised);
    this.#epochMax = Math.max(this.#epochMax, ...epochs);
    this.#parts.pinned(address, worker, new Map(raised.map((one, index) => [one, epochs[index] as Epoch])));
  }

  #call<Value>(node: SimulatedNode, label: string, run: () => Promise<Value>): Promise<Value> {
    const { time, chance, rates, coverage } = this.#parts;
    if (time.now > node.stoppedAt + windDownMs)
      time.onError(new Error(`${node.name} still asks the store for ${label} though it was stopped`));
    const isRefused = chance.hits(rates.storeRefuses);
    const operations = () => [label];
    const there = this.#latency(operations);
    const back = this.#latency(operations);
    return new Promise((resolve, reject) => {
      const fail = (why: string) => reject(new SkerryError('store-failed', `simulated: ${label} ${why}`));
      const answer = (settle: () => void) =>
        void time.schedule(node, back, `store answers ${label}`, () =>
          this.isHung(node)
            ? undefined
            : this.isCut(node)
              ? this.#loseAnswer(node, operations(), () => fail('got no answer'))
              : settle(),
        );
      time.schedule(this.#node, there, `${node.name} ${label}`, () => {
        if (this.#swallows(node)) return;
        if (this.isCut(node)) this.#loseAnswer(node, operations(), () => fail('did not get there'));
        else if (isRefused) {
          coverage.fault('store refuses', operations());
          answer(() => fail('refused'));
        } else {
          run().then((value) => answer(() => resolve(value)), time.onError);
        }
      });
    });
  }

  /** A caller learns of a fault late, because it waits for the answer. */
  #loseAnswer(node: SimulatedNode, operations: Iterable<string>, fail: () => void): void {
    const { time, chance, coverage } = this.#parts;
    coverage.fault('store not reached', operations);
    time.schedule(node, chance.between(10, 2_000), 'store does not answer', () => {
      if (!this.isHung(node)) fail();
    });
  }

  /** Whether a call of a node without answers has not even reached the store. */
  #swallows(node: SimulatedNode): boolean {
    return this.isHung(node) && this.#parts.chance.hits(0.5);
  }

  // ---- commits

  #commit(node: SimulatedNode, group: readonly Commit[]): Promise<Outcome[]> {
    const { time, chance, rates, coverage, mayCrash, committing } = this.#parts;
    if (node.isStopped) time.onError(new Error(`${node.name} commits though it was stopped`));
    const heard = committing(node, group);
    const sent = { node, group, asked: this.#losses.asked(node, new Set(group.map(({ partition }) => partition))) };
    this.#losses.sent(node, group);
    const operations = () => operationsOfGroup(group);
    mayCrash(node, 'before the store has it', operations);
    // The crash came with the call: the request was still sent, or not.
    if (node.isStopped && chance.hits(0.5)) return new Promise(() => undefined);
    const isRefused = chance.hits(rates.storeRefuses);
    const isUnknown = !isRefused && chance.hits(rates.storeUnknown);
    const outcome = new Promise<Outcome[]>((resolve, reject) => {
      time.schedule(this.#node, this.#latency(operations), `${node.name} commit`, () => {
        if (this.#swallows(node)) return;
        if (this.isCut(node)) return this.#loseAnswer(node, operations(), () => reject(lostConnection('cut')));
        if (isRefused) {
          coverage.fault('store refuses', operations());
          return this.#answer(sent, () => {
            this.#losses.answered(node, group, []);
            reject(new SkerryError('store-failed', 'simulated: disk full', { effect: 'none' }));
          });
        }
        if (isUnknown) return this.#lose(sent, reject);
        this.#write(sent, (outcomes, present) =>
          this.#answer(sent, () => {
            if (this.isCut(node))
              return this.#loseAnswer(node, operations(), () => reject(lostConnection('written, cut')));
            this.#losses.heard(node, present, sent.asked);
            this.#losses.answered(node, group, outcomes);
            resolve([...outcomes]);
          }),
        );
      });
    });
    outcome.then(heard, heard);
    return outcome;
  }

  #write(
    { node, group, asked }: Sent,
    then: (outcomes: readonly Outcome[], present: Present) => void = () => undefined,
  ): void {
    const { time, committed, mayCrash } = this.#parts;
    this.#commitNow(group, asked).then(({ outcomes, present }) => {
      for (const [index, { address, version }] of group.entries())
        time.note(`${address} ${version} ${outcomes[index]}`);
      committed(node, group, outcomes);
      mayCrash(node, 'the store has it', () => operationsOfGroup(group));
      then(outcomes, present);
    }, time.onError);
  }

  async #commitNow(
    group: readonly Commit[],
    asked: Asked,
  ): Promise<{ readonly outcomes: Outcome[]; readonly present: Present }> {
    const isBehind = group.map((commit) => this.#losses.isBehind(commit, asked));
    const written = await this.inner.commit(group.filter((_, index) => !isBehind[index]));
    const outcomes = isBehind.map((isRefused) => (isRefused ? 'stale-epoch' : (written.shift() as Outcome)));
    const { coverage } = this.#parts;
    for (const [index, commit] of group.entries()) {
      if (outcomes[index] !== 'committed') continue;
      this.#losses.committed(commit);
      for (const operation of operationsOfGroup([commit])) coverage.mechanism(`${operation} committed`);
    }
    const partitions = [...asked.keys()];
    return { outcomes, present: this.#losses.present(partitions, await this.inner.epochs(partitions)) };
  }

  #answer({ node, group }: Sent, settle: () => void): void {
    const operations = () => operationsOfGroup(group);
    this.#parts.time.schedule(node, this.#latency(operations), 'store answers commit', () => {
      if (this.isHung(node)) return;
      // A crash here leaves a stopped worker whose continuation still runs. It must do nothing.
      this.#parts.mayCrash(node, 'the answer is here', operations);
      settle();
    });
  }

  #lose(sent: Sent, reject: (error: Error) => void): void {
    const { node, group } = sent;
    const { time, chance, coverage } = this.#parts;
    const fate: Unknown = chance.pick(['never written', 'written', 'written later', 'written in part']);
    coverage.fault(`commit ${fate}`, operationsOfGroup(group));
    const fail = () => this.#answer(sent, () => reject(lostConnection(fate)));
    switch (fate) {
      case 'never written':
        return fail();
      case 'written':
        return this.#write(sent, fail);
      case 'written in part':
        return this.#write({ ...sent, group: group.filter(() => chance.hits(0.5)) }, fail);
      case 'written later': {
        const kept = group.map(copyOf);
        time.schedule(this.#node, chance.between(1, 600), `${node.name} late commit`, () =>
          this.#write({ ...sent, group: kept }),
        );
        return fail();
      }
    }
  }
}

/** Entities that are about to return to an earlier content. A version alone may be of another history. */
function lostEntities({ image: kept }: Kept, image: Image, isGone: (partition: Partition) => boolean): Stored[] {
  const isSame = ({ address, version, head }: Stored) => {
    const before = kept.entities.get(address);
    return before?.version === version && Buffer.compare(before.head, head) === 0;
  };
  return [...image.entities.values()].filter((entity) => isGone(entity.partition) && !isSame(entity));
}

function partsOfAll(entities: readonly Stored[]): Set<string> {
  const parts = new Set<string>();
  for (const { records, inHead } of entities) {
    for (const part of partsOf(records.keys())) parts.add(part);
    for (const { outbound } of inHead?.values() ?? [])
      if (outbound !== undefined) parts.add(outbound.isClosing ? 'stream that is closing' : 'open stream');
  }
  return parts;
}

function lostConnection(fate: string): SkerryError {
  return new SkerryError('store-failed', `simulated: connection lost, ${fate}`, { effect: 'unknown' });
}

/** The call has settled before a late commit is written, so the caller may reuse its bytes (S7). */
function copyOf(commit: Commit): Commit {
  return {
    ...commit,
    head: commit.head.slice(),
    records: commit.records.map(([name, bytes]) => [name, bytes?.slice() ?? null] as const),
  };
}
