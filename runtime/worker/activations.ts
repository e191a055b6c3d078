/**
 * The entities in this worker's memory: how they are activated, and when they leave.
 *
 * Owns activation (one batch of reads for all entities requested in a tick), reads of single activities, and the sweep that makes
 * entities rest and passivates those that are idle or too many. One clock hand passes over entities that were used and do not rest
 * yet. The other passes over the whole table, and only when its first entity is due: an entity not used since the hand last passed
 * leaves first. That approximates least-recently-used without an ordered list.
 *
 * Longer than 400 lines because an activation is built differently from the store, from another worker, and from an image.
 *
 * Invariants:
 * - E1 An address has at most one activation that is not dropped.
 * - E2 Only an activation at rest is passivated: nothing that is not durable is forgotten.
 * - E3 The data read of an entity is of one version: no commit of it is written between the first read and the last.
 * - E4 An activation at rest costs no time until it is due to leave memory.
 */
import { lineageOfStay, newActivity } from '../../core/activity.ts';
import type { Behaviour } from '../../core/behaviour.ts';
import type { AnyEntity } from '../../core/entity.ts';
import { SkerryError } from '../../core/errors.ts';
import type { Limits } from '../../core/limits.ts';
import { type Address, type PartnerId, typeOf } from '../../core/message.ts';
import { type EntityRecord, hasWork, parts, planSearch, recordName, sooner } from '../../core/record.ts';
import { Activation } from '../entity/activation.ts';
import type { CrashNotes } from '../entity/crash-notes.ts';
import { rest } from '../entity/idle.ts';
import type { Ownership } from '../entity/ownership.ts';
import { freshRecord, misfitsOf, overwrite, restore, restoreActivity } from '../entity/record-reader.ts';
import { drain, newLayout } from '../entity/record-writer.ts';
import type { WaitingCalls } from '../entity/waiting.ts';
import type { Environment } from '../environment.ts';
import type { Counter, Counters } from '../meter.ts';
import type { Commit, Loaded, Partition, Store } from '../store.ts';
import type { WarmEntity } from '../wire/control-messages.ts';
import type { Dispatcher } from './dispatcher.ts';
import type { GroupCommit } from './group-commit.ts';
import type { Housekeeping } from './housekeeping.ts';
import type { Carried } from './image-format.ts';
import type { Recovery } from './recovery.ts';
import type { VolatileImages } from './volatile-images.ts';

export interface ActivationsParts {
  readonly store: Store;
  readonly environment: Environment;
  readonly limits: Limits;
  readonly ownership: Ownership;
  readonly counters: Counters;
  readonly images: VolatileImages;
  readonly behaviours: ReadonlyMap<string, Behaviour>;
  readonly commits: GroupCommit;
  readonly dispatcher: Dispatcher;
  readonly housekeeping: Housekeeping;
  readonly crashNotes: CrashNotes;
  readonly waiting: WaitingCalls;
  readonly recovery: Recovery;
}

/** Pause before an entity with more partners than are loaded has the others searched, ms: its stay may be short. */
const firstSearchMs = 60_000;
/** Most waiting messages whose activities are read together with the one needed now. */
const readAheadCount = 256;
/** An activation without a message for this long gives back all memory but its state, ms. */
const restMs = 2_000;
/** Minimum interval between rounds over the whole table, as a share of `idleMs`: entities become due one after the other. */
const roundShare = 1 / 16;
/** Activities read at a time when all are read. */
const pageSize = 1_000;

type ActivityRows = readonly (readonly [string, Uint8Array])[];

export class Activations {
  readonly #parts: ActivationsParts;
  readonly #activations = new Map<Address, Activation>();
  #toLoad: Activation[] = [];
  readonly #doubted = new Set<Address>();
  /** Initial states by type, to compare stored ones with; and the types that some stored state does not fit. */
  readonly #initials = new Map<string, unknown>();
  readonly #misfits = new Set<string>();
  /** Activations that do not rest; others too, until a hand passes them. */
  readonly #awake = new Set<Activation>();
  #awakeHand: IterableIterator<Activation> | undefined;
  /** Iterates over all activations while a round lasts. */
  #hand: IterableIterator<Activation> | undefined;
  /** When the next round begins, monotonic time, ms: no activation at rest is due before. */
  #roundAt = Number.POSITIVE_INFINITY;
  #roundBegunAt = Number.NEGATIVE_INFINITY;
  readonly #passes: Counter;

  readonly #labelled: ReadonlySet<string>;
  readonly #hostsVolatile: boolean;

  constructor(parts: ActivationsParts) {
    this.#parts = parts;
    this.#passes = parts.counters.of('sweep-passes');
    const labelled = [...parts.behaviours].filter(([, { labels }]) => labels.length > 0);
    this.#labelled = new Set(labelled.map(([type]) => type));
    this.#hostsVolatile = [...parts.behaviours.values()].some(({ durability }) => durability !== 'turn');
  }

  /** Whether its type does, as this worker hosts it. */
  requiresLabels(address: Address): boolean {
    return this.#labelled.size > 0 && this.#labelled.has(typeOf(address));
  }

  isVolatile(address: Address): boolean {
    const behaviour = this.#parts.behaviours.get(typeOf(address));
    return behaviour !== undefined && behaviour.durability !== 'turn';
  }

  get hostsVolatile(): boolean {
    return this.#hostsVolatile;
  }

  get count(): number {
    return this.#activations.size;
  }

  get(address: Address): Activation | undefined {
    return this.#activations.get(address);
  }

  all(): IterableIterator<Activation> {
    return this.#activations.values();
  }

  /** The entity's activation, started if there is none; undefined: no behaviour for its type. */
  activate(address: Address, partition: Partition): Activation | undefined {
    const known = this.#activations.get(address);
    if (known !== undefined) return known;
    const behaviour = this.#parts.behaviours.get(typeOf(address));
    if (behaviour === undefined) return undefined;
    const activation = new Activation(address, partition, behaviour);
    this.#activations.set(address, activation);
    this.wake(activation);
    const carried = behaviour.durability === 'none' ? this.#parts.images.get(address) : undefined;
    if (carried !== undefined) {
      // The store has nothing of it.
      void this.#restore(activation, carried.loaded, rowsOf(carried));
      return activation;
    }
    if (this.#toLoad.length === 0) this.#parts.environment.soon(() => void this.#load());
    this.#toLoad.push(activation);
    return activation;
  }

  /** Takes over what another worker had in memory, which equals the stored entity. */
  adopt({ address, loaded, activities }: WarmEntity, partition: Partition): void {
    const behaviour = this.#parts.behaviours.get(typeOf(address));
    // An earlier commit of this worker may have reached the store or not. Only a read tells.
    if (behaviour === undefined || this.#activations.has(address) || this.#doubted.has(address)) return;
    const activation = new Activation(address, partition, behaviour);
    this.#activations.set(address, activation);
    this.wake(activation);
    activation.use(this.#parts.environment.steady());
    void this.#restore(activation, loaded, rowsOf({ activities }));
  }

  /** Something is held for it again, so it does not rest any more. */
  wake(activation: Activation): void {
    this.#awake.add(activation);
  }

  /** From here on the activation runs nothing and releases nothing (V2). */
  drop(activation: Activation): void {
    activation.drop();
    this.#parts.dispatcher.forget(activation);
    this.#awake.delete(activation);
    if (this.#activations.get(activation.address) === activation) this.#activations.delete(activation.address);
  }

  async #load(): Promise<void> {
    const activations = this.#toLoad;
    this.#toLoad = [];
    const { store, limits } = this.#parts;
    try {
      await this.#fence(activations);
      const loaded = await store.load(activations, {
        table: parts.activities.letter,
        limit: limits.activityCountMax + 1,
      });
      for (const [index, activation] of activations.entries())
        await this.#restore(activation, loaded[index], activitiesOf(loaded[index]));
    } catch (error) {
      for (const activation of activations)
        if (activation.phase === 'loading') this.#parts.recovery.notLoaded(activation, error);
    }
  }

  /** A commit of this entity is in flight or was lost on its way, so nobody knows whether, or when, it is written. */
  doubt(address: Address): void {
    this.#doubted.add(address);
  }

  /**
   * While a lost commit may still be written, a read of the entity could be half before and half after it. A commit that changes
   * only the version ends the doubt: from then on the late one is rejected (S2, E3).
   */
  async #fence(activations: readonly Activation[], triesLeft = 3): Promise<void> {
    if (this.#doubted.size === 0) return;
    const doubted = activations.filter(({ address, phase }) => phase === 'loading' && this.#doubted.has(address));
    if (doubted.length === 0) return;
    const loaded = await this.#parts.store.load(doubted);
    // Dropped meanwhile: another worker may own the partition, or this one has stopped.
    const isStillHere = () => doubted.every(({ phase }) => phase === 'loading');
    const outcomes = await this.#parts.commits.beside(() =>
      isStillHere() ? doubted.map((activation, index) => this.#fencing(activation, loaded[index])) : [],
    );
    if (outcomes.length === 0) return this.#fence(activations, triesLeft);
    for (const [index, activation] of doubted.entries()) {
      if (outcomes[index] === 'committed') this.#doubted.delete(activation.address);
      else if (outcomes[index] === 'stale-epoch') this.#parts.ownership.lose(activation.partition);
      else if (triesLeft === 0)
        this.#parts.recovery.notLoaded(
          activation,
          new SkerryError('store-failed', `${activation.address} keeps changing while it is read: ${outcomes[index]}`),
        );
    }
    if (triesLeft > 0) await this.#fence(activations, triesLeft - 1);
  }

  #fencing(activation: Activation, loaded: Loaded | undefined): Commit {
    const { address, partition } = activation;
    const { head, records } =
      loaded ??
      drain(freshRecord(address, activation.behaviour, this.#parts.limits), newLayout(), activation.behaviour);
    const expected = loaded?.version ?? 0;
    const wakeAt = loaded?.wakeAt;
    const epoch = this.#parts.ownership.epochOf(partition);
    return {
      partition,
      epoch,
      address,
      expected,
      version: expected + 1,
      head,
      records: loaded === undefined ? records : [],
      wakeBefore: wakeAt,
      wakeAt,
    };
  }

  async #restore(activation: Activation, loaded: Loaded | undefined, rows: ActivityRows): Promise<void> {
    if (activation.phase === 'dropped') return;
    try {
      const isVolatile = activation.behaviour.durability !== 'turn';
      const carried = isVolatile ? this.#carriedOf(activation, loaded) : undefined;
      if (carried !== undefined) await this.#restoreCarried(activation, carried, loaded, rows);
      else if (loaded === undefined)
        activation.load(freshRecord(activation.address, activation.behaviour, this.#parts.limits));
      else await this.#restoreStored(activation, loaded, rows);
      this.#begin(activation);
    } catch (error) {
      this.#parts.recovery.notLoaded(activation, error);
      return;
    }
    // Dropped while its activities were read: it must not return to life (V2).
    if (isDropped(activation)) return;
    this.#startVolatile(activation);
    activation.goOn();
    this.#ready(activation);
  }

  async #restoreStored(activation: Activation, loaded: Loaded, rows: ActivityRows): Promise<void> {
    const { record, layout } = restore(activation.address, loaded, activation.behaviour, this.#parts.limits);
    this.#checkShape(activation, record);
    if (layout.hasActivities && rows.length > 0)
      throw new Error(`${activation.address} has activities in its head and in records`);
    for (const [name, bytes] of rows) restoreActivity(record, name.slice(1), bytes);
    record.isComplete = rows.length <= this.#parts.limits.activityCountMax;
    // It is not known any more when stored activities may be forgotten, so they are searched soon.
    if (!record.isComplete) planSearch(record, sooner(record.forgetAt, this.#parts.environment.now() + firstSearchMs));
    // If there are too many, those with messages in the outbox are needed now, the others when their partner writes.
    const missing = record.isComplete
      ? []
      : [...record.activities.values()]
          .filter((activity) => activity.outbound?.session === 0)
          .map((activity) => activity.partner);
    if (missing.length > 0) await this.#readInto(activation, record, missing);
    activation.load(record, { layout, version: loaded.version, wakeAt: loaded.wakeAt });
  }

  /** A state that no longer fits the type, with an unchanged version, fails somewhere in a turn. Logged once per type. */
  #checkShape({ address, behaviour: { contract, version } }: Activation, { key, state }: EntityRecord): void {
    const { type } = contract;
    if (this.#misfits.has(type)) return;
    if (!this.#initials.has(type)) this.#initials.set(type, initialOf(contract, key));
    const misfits = misfitsOf(state.value, this.#initials.get(type));
    if (misfits.length === 0) return;
    this.#misfits.add(type);
    this.#parts.environment.log.warn(
      { type, version, entity: address, misfits: misfits.slice(0, 8) },
      'a stored state does not match the initial state of its contract: if the shape has changed, raise version and add an upgrade',
    );
  }

  /** Uses its image, unless another owner has written since: this worker need not have heard that another has the entity. */
  #carriedOf({ address, behaviour }: Activation, stored: Loaded | undefined): Carried | undefined {
    const carried = this.#parts.images.get(address);
    const isOld = behaviour.durability !== 'none' && (stored?.version ?? 0) >= (carried?.loaded.version ?? 0);
    return isOld ? undefined : carried;
  }

  /** The entity was in memory here or elsewhere, and its image has more than the store (CA1). */
  async #restoreCarried(
    activation: Activation,
    carried: Carried,
    stored: Loaded | undefined,
    some: ActivityRows,
  ): Promise<void> {
    const { address, behaviour } = activation;
    const { limits } = this.#parts;
    const { record, layout } = restore(address, carried.loaded, behaviour, this.#parts.limits);
    for (const [name, bytes] of rowsOf(carried)) restoreActivity(record, name.slice(1), bytes);
    if (behaviour.durability === 'none' || behaviour.durability === 'turn') {
      activation.load(record, { layout });
    } else {
      record.isComplete = carried.isComplete;
      const isAll = !carried.isComplete || some.length <= limits.activityCountMax;
      const rows = isAll ? some : await this.#allRows(activation);
      const { layout: written, hasSent } = overwrite(record, stored, rows);
      activation.load(record, { layout: written, version: stored?.version ?? 0, wakeAt: stored?.wakeAt });
      if (hasSent) activation.holdOutbox(record);
      // After a pause, because a permanent rejection would otherwise be retried in a loop.
      activation.planWrite(this.#parts.environment.now() + Math.min(behaviour.durability.intervalMs, limits.retryMs));
    }
    activation.use(this.#parts.environment.steady());
  }

  async #allRows(activation: Activation): Promise<ActivityRows> {
    const rows: (readonly [string, Uint8Array])[] = [];
    for (let after: string | undefined; ; ) {
      const page = await this.#parts.store.scan(activation, parts.activities.letter, {
        limit: pageSize,
        ...(after && { after }),
      });
      rows.push(...page);
      after = page[pageSize - 1]?.[0];
      if (after === undefined) return rows;
    }
  }

  /**
   * Versions decide which of two images is later, and whether an image is later than the stored entity (CA2). They begin with the
   * epoch of the claim, as sessions do, because the clocks of workers differ.
   */
  #startVolatile({ address, behaviour, entity }: Activation): void {
    if (behaviour.durability === 'turn') return;
    entity.version = Math.max(entity.version, entity.lineage.start);
    this.#parts.images.settled(address);
  }

  /** The data read may be less than was known: of a durable type after a claim, of the others each time (A6). */
  #begin({ behaviour, entity, partition }: Activation): void {
    const lineage = this.#parts.ownership.lineageOf(partition);
    if (lineage !== undefined) entity.lineage = behaviour.durability === 'turn' ? lineage : lineageOfStay(lineage);
  }

  async #readInto(activation: Activation, record: EntityRecord, partners: readonly PartnerId[]): Promise<void> {
    const found = await this.#parts.store.read(activation, partners.map(recordName.activity));
    // A dropped activation does not change any more, because another worker may have its image (IM1).
    if (activation.phase === 'dropped') return;
    for (const [index, partner] of partners.entries()) {
      // Activities that a search loaded meanwhile are newer than the data read. A placeholder is what the read replaces.
      const known = record.activities.get(partner);
      if (known === undefined || known.outbound?.session === 0) restoreActivity(record, partner, found[index]);
    }
  }

  /** Reads the activity that a turn needs, and those that waiting messages will need. The activation is ready again afterwards. */
  readonly readActivity = (activation: Activation, partner: PartnerId): void => {
    activation.pause();
    const { entity } = activation;
    const partners = new Set([partner]);
    for (const item of activation.mailbox.peek(readAheadCount))
      if ('from' in item && !entity.activities.has(item.from)) partners.add(item.from);
    this.#readInto(activation, entity, [...partners]).then(
      () => {
        if (activation.phase === 'dropped') return;
        // A first contact: an empty activity records that the store has been read.
        for (const one of partners) if (!entity.activities.has(one)) entity.activities.set(one, newActivity(one));
        activation.goOn();
        this.#ready(activation);
      },
      (error: unknown) => {
        if (activation.phase !== 'dropped') this.#parts.recovery.notLoaded(activation, error);
      },
    );
  };

  #ready(activation: Activation): void {
    const { recovery, crashNotes, housekeeping, waiting } = this.#parts;
    waiting.ready(activation);
    recovery.made(activation);
    crashNotes.watch(activation);
    housekeeping.ready(activation);
  }

  /** Moves the hands on: unused activations rest, idle ones and those beyond the bound are passivated. A bounded step. */
  sweep(stepCount: number): void {
    const now = this.#parts.environment.steady();
    this.#awakeHand = this.#pass(this.#awakeHand ?? this.#awake.values(), stepCount, now);
    if (this.#hand === undefined) {
      if (now < this.#roundAt && !this.#isCrowded) return;
      this.#roundAt = Number.POSITIVE_INFINITY;
      this.#roundBegunAt = now;
    }
    this.#hand = this.#pass(this.#hand ?? this.#activations.values(), stepCount, now);
  }

  get #isCrowded(): boolean {
    return this.count > this.#parts.limits.activationCountMax;
  }

  /** Returns the hand at its present position, or undefined when it has passed the last. */
  #pass(hand: IterableIterator<Activation>, stepCount: number, now: number): IterableIterator<Activation> | undefined {
    for (let step = 0; step < stepCount; step++) {
      const { value: activation, done } = hand.next();
      if (done || activation === undefined) return undefined;
      this.#passes.add();
      if (activation.phase === 'dropped') this.#awake.delete(activation);
      else this.#passOne(activation, now);
    }
    return hand;
  }

  #passOne(activation: Activation, now: number): void {
    if (activation.ahead !== undefined) this.#dropAhead(activation, now);
    if (!activation.isAtRest) return this.wake(activation);
    const isStaying = isBusy(activation);
    const unusedMs = now - activation.usedAt;
    if (unusedMs >= restMs) {
      this.#parts.waiting.rest(activation);
      rest(activation, this.#parts);
      // An activation being searched gives back the rest of its memory afterwards.
      if (!activation.isSearching) this.#awake.delete(activation);
    }
    const { idleMs } = this.#parts.limits;
    if (!isStaying && unusedMs >= (this.#isCrowded ? 0 : idleMs)) {
      this.#parts.waiting.rest(activation);
      this.drop(activation);
      this.#parts.housekeeping.passivated(activation);
    } else if (!this.#awake.has(activation)) {
      const dueAt = (isStaying ? now : activation.usedAt) + idleMs;
      this.#roundAt = Math.min(this.#roundAt, Math.max(dueAt, this.#roundBegunAt + idleMs * roundShare));
    }
  }

  /** Buffered messages are dropped at their date, and when the entity is not called any more. Their senders send them again (P12). */
  #dropAhead(activation: Activation, now: number): void {
    const { environment, limits } = this.#parts;
    if (now - activation.usedAt >= restMs) activation.dropAhead();
    else activation.ahead?.dropLate(environment.now(), now, now - 2 * limits.retryMsMax);
    this.#parts.dispatcher.count(activation);
  }
}

/** Activities of an image, named as the store names them. */
function rowsOf({ activities }: Pick<WarmEntity, 'activities'>): ActivityRows {
  return activities.map(([partner, bytes]) => [recordName.activity(partner), bytes] as const);
}

/** A store that returns no activities along with a load would make every partner a new one (P4). */
function activitiesOf(loaded: Loaded | undefined): ActivityRows {
  if (loaded === undefined) return [];
  if (loaded.along === undefined) throw new Error('the store loaded no records with an entity');
  return loaded.along;
}

/** For a comparison only: that the application cannot make a new entity is no reason not to read a stored one. */
function initialOf(contract: AnyEntity, key: string): unknown {
  try {
    return contract.initial(key);
  } catch {
    return undefined;
  }
}

/** If the store has nothing, a scheduled output of the entity is gone too, as if its worker had crashed. */
function isBusy({ behaviour, entity }: Activation): boolean {
  return behaviour.durability === 'none' && (entity.outboxCount > 0 || hasWork(entity));
}

/** As a function, because the compiler would assume that a phase once seen does not change. */
function isDropped({ phase }: Activation): boolean {
  return phase === 'dropped';
}
