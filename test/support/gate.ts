/**
 * A store behind a gate: a test can hold back its calls, refuse them, or lose their answers. Faults apply in the order in
 * which they were queued, one per call. Without any, every call passes.
 */
import { SkerryError } from '../../core/errors.ts';
import type { Pin } from '../../placement/view.ts';
import {
  type Claim,
  type Commit,
  type Epoch,
  type Lease,
  type Loaded,
  type Loss,
  type Mark,
  type Outcome,
  type Partition,
  type RecordName,
  type Store,
  StoreAway,
  type Wake,
} from '../../runtime/store.ts';
import { MemoryStore } from '../../runtime/stores/memory.ts';

/**
 * refused: nothing is written, and the caller is told. lost before, lost after: not written, or written, with an unknown outcome.
 * late: the outcome is unknown, and the commit is written (if it is still valid) during the next read of activities.
 */
export type Fault = 'refused' | 'lost before' | 'lost after' | 'late';

interface Gate {
  readonly open: () => void;
  readonly opened: Promise<void>;
}

function gate(): Gate {
  let open: () => void = () => undefined;
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { open, opened };
}

export class GateStore implements Store {
  readonly inner: Store;
  readonly id: string;
  readonly partitions: number;
  readonly valueBytesMax: number;
  readonly groupsAtOnce: number;
  /** The arguments of each call of `commit`. */
  readonly commits: (readonly Commit[])[] = [];
  readonly faults: { commit: Fault[]; load: number; epochs: number } = { commit: [], load: 0, epochs: 0 };
  /** While true, no call starts. */
  isAway = false;
  /** Number of commits of each partition that the next claim finds missing, as after the store went back. */
  lostCount = 0;
  loadCount = 0;
  epochCount = 0;
  readCount = 0;
  #late: readonly Commit[] | undefined;
  #commitGate: Gate | undefined;
  #outcomeGate: Gate | undefined;
  #epochGate: Gate | undefined;

  constructor(inner: Store = new MemoryStore({ partitions: 16 })) {
    this.inner = inner;
    this.id = inner.id;
    this.partitions = inner.partitions;
    this.valueBytesMax = inner.valueBytesMax;
    this.groupsAtOnce = inner.groupsAtOnce;
  }

  /** From now on commits wait, unwritten, until the returned function is called. */
  holdCommits(): () => void {
    const held = gate();
    this.#commitGate = held;
    return () => {
      this.#commitGate = undefined;
      held.open();
    };
  }

  /** From now on commits are written but not answered until the returned function is called. */
  holdOutcomes(): () => void {
    const held = gate();
    this.#outcomeGate = held;
    return () => {
      this.#outcomeGate = undefined;
      held.open();
    };
  }

  holdEpochs(): () => void {
    const held = gate();
    this.#epochGate = held;
    return () => {
      this.#epochGate = undefined;
      held.open();
    };
  }

  /** Listeners of losses. */
  readonly tells = new Set<(loss: Loss) => void>();

  onLoss(tell: (loss: Loss) => void): () => void {
    this.tells.add(tell);
    return () => void this.tells.delete(tell);
  }

  #knock(): void {
    if (this.isAway) throw new StoreAway('not connected');
  }

  async commit(group: readonly Commit[]): Promise<Outcome[]> {
    this.#knock();
    this.commits.push(group);
    const fault = this.faults.commit.shift();
    await this.#commitGate?.opened;
    if (fault === 'refused') throw new SkerryError('store-failed', 'no space left on device', { effect: 'none' });
    if (fault === 'late') this.#late = group;
    if (fault === 'lost before' || fault === 'late')
      throw new SkerryError('store-failed', 'connection lost', { effect: 'unknown' });
    const outcomes = await this.inner.commit(group);
    await this.#outcomeGate?.opened;
    if (fault === 'lost after') throw new SkerryError('store-failed', 'connection lost', { effect: 'unknown' });
    return outcomes;
  }

  async load(...asked: Parameters<Store['load']>): Promise<(Loaded | undefined)[]> {
    this.#knock();
    this.loadCount += 1;
    if (this.faults.load > 0) {
      this.faults.load -= 1;
      throw new SkerryError('store-failed', 'cannot read', { effect: 'none' });
    }
    return this.inner.load(...asked);
  }

  /** Whether a late commit has yet to be written. */
  get isLate(): boolean {
    return this.#late !== undefined;
  }

  async epochs(partitions: readonly Partition[]): Promise<Epoch[]> {
    this.#knock();
    this.epochCount += 1;
    const epochs = await this.inner.epochs(partitions);
    await this.#epochGate?.opened;
    if (this.faults.epochs === 0) return epochs;
    this.faults.epochs -= 1;
    throw new SkerryError('store-failed', 'cannot read', { effect: 'none' });
  }

  markOf(partition: Partition, epoch: Epoch): Mark | undefined {
    return this.inner.markOf(partition, epoch);
  }

  async claim(partitions: readonly Partition[], owner: string): Promise<Claim[]> {
    const claims = await this.inner.claim(partitions, owner);
    return claims.map((claim) => ({ ...claim, mark: claim.mark - this.lostCount }));
  }

  pin(...args: Parameters<Store['pin']>): Promise<void> {
    return this.inner.pin(...args);
  }

  pins(): Promise<Pin[]> {
    return this.inner.pins();
  }

  lease(...args: Parameters<Store['lease']>): Promise<Lease> {
    return this.inner.lease(...args);
  }

  async read(entity: Parameters<Store['read']>[0], names: readonly RecordName[]): Promise<(Uint8Array | undefined)[]> {
    this.readCount += 1;
    await this.#landLate();
    return this.inner.read(entity, names);
  }

  async scan(...given: Parameters<Store['scan']>): Promise<(readonly [RecordName, Uint8Array])[]> {
    await this.#landLate();
    return this.inner.scan(...given);
  }

  async #landLate(): Promise<void> {
    const late = this.#late;
    this.#late = undefined;
    if (late !== undefined) await this.inner.commit(late);
  }

  wakes(partition: Partition, options: { after?: Wake; limit: number }): Promise<Wake[]> {
    return this.inner.wakes(partition, options);
  }

  list(...given: Parameters<Store['list']>): Promise<string[]> {
    return this.inner.list(...given);
  }

  close(): Promise<void> {
    return this.inner.close();
  }
}
