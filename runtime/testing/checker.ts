/**
 * The checker: compares everything that workers send and write with the image, as it happens.
 *
 * Longer than 400 lines because every check sees the sends, writes and losses of workers together.
 *
 * Owns the checks that need no knowledge of the application, each under the number of its promise: output that leaves a worker
 * is durable (P2), commits form one history (P3), no message is processed twice (P4), a repeated answer is the same (P5),
 * nothing leaves an outbox unprocessed (P7), an entity that is handed off equals the stored one (TY2, HO1).
 */
import type { Inbound } from '../../core/activity.ts';
import type { Behaviour } from '../../core/behaviour.ts';
import { type Address, isEntityPartner, type PartnerId, typeOf } from '../../core/message.ts';
import { type Placement, pinnedPartition } from '../../placement/placement.ts';
import type { Pin } from '../../placement/view.ts';
import type { Claim, Commit, Epoch, Outcome, Partition } from '../store.ts';
import type { ControlMessage } from '../wire/control-messages.ts';
import type { Envelope, MessageEnvelope, ReplyEnvelope, StreamEnvelope } from '../wire/envelope.ts';
import { type Change, hasPutOff, type Image, type StoredEntity } from './image.ts';
import type { Witness } from './losses.ts';
import { textOfChange } from './trace.ts';
import type { SimulatedNode, VirtualTime } from './virtual-time.ts';

/** What a run found. */
export interface Violation {
  /**
   * The broken promise, as P7 (docs/guarantees.md) or one that the scenario names. `scenario`: code of the scenario threw.
   * `bug`: other code threw, outside a turn.
   */
  readonly promise: string;
  /** What happened. An error has its details, and the stack frames outside of Skerry, on lines of their own. */
  readonly text: string;
  /** When, virtual ms since the start. */
  readonly atMs: number;
}

/** A check of an entity as it was just committed. It throws for a violation. */
export type Invariant = (entity: StoredEntity) => void;

export interface CheckerParts {
  readonly time: VirtualTime;
  readonly image: Image;
  /** Places entities as long as nothing is pinned. */
  readonly placement: Placement;
  readonly behaviours: ReadonlyMap<string, Behaviour>;
  readonly invariants: Readonly<Record<string, Invariant>>;
}

const violationCountMax = 20;
const unhinderedMs = 15_000;

type Released = Extract<ControlMessage, { kind: 'released' }>;
type Gone = Pick<Change['gone'][number], 'session' | 'message'>;

export class Checker {
  readonly #parts: CheckerParts;
  readonly violations: Violation[] = [];
  /** When the faults ended. From then on nothing keeps a message from its receiver. */
  healedAt = Number.POSITIVE_INFINITY;
  /** Calls made by clients, by subject and number. */
  readonly #calls = new Map<string, MessageEnvelope>();
  /** Epochs that a node holds, and when another node took each of them over. */
  readonly #held = new Map<SimulatedNode, Map<Partition, number>>();
  readonly #superseded = new Map<string, number>();
  /** Groups that each node has passed to the store, without an answer so far. */
  readonly #underWay = new Map<SimulatedNode, Set<readonly Commit[]>>();
  /** How often the store returned to an earlier state. */
  lossCount = 0;
  /** Of entities that have lost commits: when last, true time. */
  readonly #lostAt = new Map<Address, number>();
  readonly #witnesses = new Map<string, Witness>();
  /** Since the last loss: streams of a pair that the store had and that a commit has dropped in due time. */
  readonly #forgotten = new Map<string, { readonly partition: Partition } & Pick<Inbound, 'session' | 'through'>>();
  /** Partitions whose loss a node has detected, and that have had no further loss since. */
  readonly #lossFound = new Map<SimulatedNode, Set<Partition>>();
  readonly #epochsGiven = new Map<Partition, Epoch>();
  /** Epochs of partitions that each node has handed off. */
  readonly #givenAway = new Map<SimulatedNode, Map<Partition, Epoch>>();

  constructor(parts: CheckerParts) {
    this.#parts = parts;
  }

  violate(promise: string, text: string): void {
    const { time } = this.#parts;
    time.note(`VIOLATION ${promise} ${text}`);
    if (this.violations.length < violationCountMax) this.violations.push({ promise, text, atMs: time.elapsedMs });
  }

  #isDurable(address: Address): boolean {
    return this.#parts.behaviours.get(typeOf(address))?.durability === 'turn';
  }

  /** Whether the store ever has it. */
  #isStored(address: Address): boolean {
    return this.#parts.behaviours.get(typeOf(address))?.durability !== 'none';
  }

  // ---- sends

  /** A client sends an envelope. */
  called(envelope: Envelope): void {
    if (envelope.kind === 'message') this.#calls.set(`${envelope.replyTo}:${envelope.call}`, envelope);
  }

  /** A worker releases an envelope. */
  posted(node: SimulatedNode, envelope: Envelope): void {
    if (node.isStopped)
      this.violate('P2', `${node.name} sends ${envelope.kind} to ${envelope.to} though it was stopped`);
    if (this.lossCount > 0) return this.#postedAfterLoss(node, envelope);
    switch (envelope.kind) {
      case 'reply':
        return this.#answered(envelope);
      case 'message':
        return this.#sent(node, envelope);
      case 'ack':
        return this.#processed(envelope, 'acknowledges');
      case 'probed':
        return envelope.number < 0 ? undefined : this.#processed(envelope, 'says that it processed');
      case 'close':
        return this.#closed(envelope);
      default:
        return;
    }
  }

  /** A worker that has detected a loss sends only what the store has (P8). */
  #postedAfterLoss(node: SimulatedNode, envelope: Envelope): void {
    const { image } = this.#parts;
    if (envelope.kind === 'reply') {
      const message = this.#calls.get(`${envelope.to}:${envelope.call}`);
      if (message === undefined || envelope.status !== 'answer') return;
      return this.#checkKept(node, message.to, message.from, message.arrival);
    }
    if (envelope.kind === 'ack' || (envelope.kind === 'probed' && envelope.number >= 0))
      this.#checkKept(node, envelope.from, envelope.to, { session: envelope.session, seq: envelope.number });
    else if (envelope.kind === 'close') this.#closed(envelope);
    else if (envelope.kind === 'message' && this.#isDurable(envelope.from)) {
      const { from, to, arrival } = envelope;
      if (!image.everSent.has(image.messageKey(from, to, arrival.session, arrival.seq)))
        this.violate('P2', `${from} sends ${to} ${arrival.session}.${arrival.seq} before it is in the durable outbox`);
    }
  }

  #checkKept(
    node: SimulatedNode,
    entity: Address,
    partner: PartnerId,
    { session, seq }: { readonly session: number; readonly seq: number },
  ): void {
    if (!this.#isDurable(entity) || this.#lossFound.get(node)?.has(this.#partitionOf(entity)) !== true) return;
    const { image } = this.#parts;
    const inbound = image.activity(entity, partner)?.inbound ?? this.#forgotten.get(image.pairKey(entity, partner));
    const isKept =
      inbound !== undefined && (inbound.session > session || (inbound.session === session && inbound.through >= seq));
    if (!isKept)
      this.violate('P8', `${entity} speaks of ${session}.${seq} of ${partner}, which ${node.name} knows to be lost`);
  }

  #answered({ to, call, status, bytes }: ReplyEnvelope): void {
    const message = this.#calls.get(`${to}:${call}`);
    if (message === undefined || status !== 'answer' || !this.#isDurable(message.to)) return;
    const { image } = this.#parts;
    const { session, seq } = message.arrival;
    // The entity does not keep an answer for a client that has given up, so only its turn must be there.
    const stored = image.answers.get(image.messageKey(message.from, message.to, session, seq));
    const text = `${message.to} answers ${message.from} ${session}.${seq} (${message.content.operation})`;
    if (stored === undefined && image.isPutOff(message.to, message.from, message.arrival))
      this.violate('P2', `${text} while it is open in the store`);
    else if (!image.isProcessed(message.to, message.from, session, seq))
      this.violate('P2', `${text} before its turn is durable`);
    else if (stored !== undefined && !isEqual(stored, bytes))
      this.violate('P5', `${text} otherwise than the first time`);
  }

  #sent(node: SimulatedNode, { to, from, arrival, content }: MessageEnvelope): void {
    if (!this.#isDurable(from)) return;
    const { image } = this.#parts;
    const stored = image.everSent.get(image.messageKey(from, to, arrival.session, arrival.seq));
    const text = `${from} sends ${to} ${arrival.session}.${arrival.seq} (${content.kind} ${content.operation})`;
    if (stored === undefined) return this.violate('P2', `${text} before it is in the durable outbox`);
    if (stored.expires !== arrival.expires || !isEqual(stored.content.payload, content.payload))
      this.violate('P1', `${text} otherwise than its outbox has it`);
    const supersededAt = this.#ownedUntil(node, from);
    // Minus the furthest that its clock was ever ahead: the moment may be from before the clock was set back.
    const sentAt = arrival.sent - node.clock.aheadMs;
    if (sentAt > supersededAt)
      this.violate('P3', `${text} as its owner at ${sentAt}, which it was until ${supersededAt}`);
  }

  /** Until when the node owned an entity, directly or as pinned; Infinity: it still does. */
  #ownedUntil(node: SimulatedNode, address: Address): number {
    const { placement } = this.#parts;
    const partitions = [placement.partitionOf(address), pinnedPartition(address, placement.view.partitions)];
    const until = partitions.map((partition) => {
      const epoch = this.#held.get(node)?.get(partition);
      if (epoch === undefined) return 0;
      return this.#superseded.get(`${partition}:${epoch}`) ?? Number.POSITIVE_INFINITY;
    });
    return Math.max(...until);
  }

  #processed({ to, from, session, number }: StreamEnvelope, verb: string): void {
    if (!this.#isDurable(from) || this.#parts.image.isProcessed(from, to, session, number)) return;
    this.violate('P2', `${from} ${verb} ${session}.${number} of ${to} before that is durable`);
  }

  #closed({ to, from, session }: StreamEnvelope): void {
    if (!this.#isStored(from) || this.#parts.image.everClosing.has(`${from}\n${to}\n${session}`)) return;
    this.violate('P2', `${from} closes session ${session} with ${to} before that is durable`);
  }

  // ---- writes

  claimed(node: SimulatedNode, claims: readonly Claim[]): void {
    const held = this.#held.get(node) ?? new Map<Partition, number>();
    this.#held.set(node, held);
    const { time } = this.#parts;
    for (const { partition, epoch } of claims) {
      // From here on commits of the new owner may hide that some are missing.
      for (const [key, witness] of this.#witnesses)
        if (witness.partition === partition && witness.node !== node) this.#witnesses.delete(key);
      time.tell(() => `${node.name} has partition ${partition} with epoch ${epoch}`);
      this.#raised(partition, epoch);
      held.set(partition, epoch);
    }
  }

  #raised(partition: Partition, epoch: Epoch): void {
    const { image, time } = this.#parts;
    const before = image.epochs.get(partition) ?? 0;
    if (epoch <= (this.#epochsGiven.get(partition) ?? 0))
      this.violate('P3', `epoch ${epoch} of partition ${partition} is given twice`);
    this.#epochsGiven.set(partition, epoch);
    this.#superseded.set(`${partition}:${before}`, time.now);
    image.epochs.set(partition, epoch);
  }

  pinned(address: Address, worker: string | undefined, raised: ReadonlyMap<Partition, Epoch>): void {
    const { image } = this.#parts;
    if (worker === undefined) image.pins.delete(address);
    else image.pins.set(address, worker);
    for (const [partition, epoch] of raised) this.#raised(partition, epoch);
  }

  arePins(pins: readonly Pin[]): boolean {
    const { image } = this.#parts;
    return pins.length === image.pins.size && pins.every(({ address, worker }) => image.pins.get(address) === worker);
  }

  /** A worker tells another that it no longer owns a partition. */
  released(node: SimulatedNode, { partition, epoch, entities }: Released): void {
    const { image, time } = this.#parts;
    time.tell(
      () =>
        `${node.name} gives partition ${partition} of epoch ${epoch} away, warm: ${entities.map(({ address }) => address).join()}`,
    );
    const given = this.#givenAway.get(node) ?? new Map<Partition, Epoch>();
    this.#givenAway.set(node, given.set(partition, epoch));
    // Another worker has claimed it by now, and will not use what comes with an older epoch.
    if (image.epochs.get(partition) !== epoch || this.lossCount > 0) return;
    for (const warm of entities) {
      if (this.#isUnderWay(node, { address: warm.address, partition, epoch }))
        this.violate('HO1', `${node.name} hands ${warm.address} over while a commit of it is under way`);
      const isSame = image.isAsStored(warm.address, warm.loaded);
      if (!isSame) this.violate('TY2', `${node.name} hands ${warm.address} over other than it is stored`);
    }
  }

  /** Unanswered commits of an earlier claim do not count: the store rejects them, or had them before the entity was read. */
  #isUnderWay(
    node: SimulatedNode,
    { address, partition, epoch }: Pick<Commit, 'address' | 'partition' | 'epoch'>,
  ): boolean {
    const isOfClaim = (commit: Commit) =>
      commit.address === address && commit.partition === partition && commit.epoch === epoch;
    for (const group of this.#underWay.get(node) ?? []) if (group.some(isOfClaim)) return true;
    return false;
  }

  /** Whether a node has passed something to the store and has no answer so far. */
  isCommitting(node: SimulatedNode): boolean {
    return (this.#underWay.get(node)?.size ?? 0) > 0;
  }

  #checkGivenAway(node: SimulatedNode, { address, partition, epoch, version }: Commit): void {
    if (this.#givenAway.get(node)?.get(partition) === epoch)
      this.violate(
        'HO1',
        `${node.name} commits ${address} ${version} of partition ${partition}, which it has given away`,
      );
  }

  /** A node passes a group to the store. Returns a function to call when the answer arrives. */
  committing(node: SimulatedNode, group: readonly Commit[]): () => void {
    for (const commit of group) this.#checkGivenAway(node, commit);
    const groups = this.#underWay.get(node) ?? new Set();
    this.#underWay.set(node, groups.add(group));
    return () => void groups.delete(group);
  }

  // ---- losses

  /**
   * The store has lost commits, of these entities. The history before is void, but owners of lost commits must detect the loss.
   */
  wentBack(witnesses: readonly Witness[], isGone: (partition: Partition) => boolean, lost: readonly Address[]): void {
    this.lossCount += 1;
    for (const address of lost) this.#lostAt.set(address, this.#parts.time.now);
    for (const [pair, { partition }] of this.#forgotten) if (isGone(partition)) this.#forgotten.delete(pair);
    for (const found of this.#lossFound.values())
      for (const partition of [...found]) if (isGone(partition)) found.delete(partition);
    // The store may return to a later state than at the loss before. Commits are then back, and no node can miss them.
    for (const [key, { partition }] of this.#witnesses) if (isGone(partition)) this.#witnesses.delete(key);
    for (const witness of witnesses)
      if (!witness.node.isStopped && this.isOwner(witness.node, witness.partition) === true)
        this.#witnesses.set(`${witness.node.name} ${witness.partition}`, witness);
  }

  /** Whether an entity has lost commits since then. */
  lostSince(address: Address, at: number): boolean {
    return (this.#lostAt.get(address) ?? 0) >= at;
  }

  /** A node has detected that the store lost commits of a partition. */
  lossFound(node: SimulatedNode, partition: Partition): void {
    this.#witnesses.delete(`${node.name} ${partition}`);
    this.#lossFound.set(node, (this.#lossFound.get(node) ?? new Set()).add(partition));
    this.lossReported(node, `partition ${partition} went back`);
  }

  /** A node has reported that the store lost accepted commits. */
  lossReported(node: SimulatedNode, text: string): void {
    if (this.lossCount === 0) this.violate('P8', `${node.name}: ${text}`);
  }

  /** At the end: every node that had the acknowledgement of a lost commit has reported the loss, if it lived long enough. */
  checkLosses(): void {
    for (const { node, partition } of this.#witnesses.values())
      if (!node.isStopped) this.violate('P8', `${node.name} never found that partition ${partition} went back`);
  }

  /** Whether the node's claim of a partition is the last one; undefined: it has made none yet. */
  isOwner(node: SimulatedNode, partition: Partition): boolean | undefined {
    const epoch = this.#held.get(node)?.get(partition);
    return epoch === undefined ? undefined : epoch === this.#parts.image.epochs.get(partition);
  }

  committed(node: SimulatedNode, group: readonly Commit[], outcomes: readonly Outcome[]): void {
    const { image, time } = this.#parts;
    for (const [index, commit] of group.entries()) {
      if (outcomes[index] !== 'committed') continue;
      const change = image.changeOf(commit);
      this.#checkHistory(node, change);
      this.#checkNumbers(change);
      if (this.#isDurable(commit.address) && this.lossCount === 0) {
        for (const [partner, activity] of change.activities)
          if (activity?.inbound !== undefined) this.#checkInbound(change, partner, activity.inbound);
        this.#checkGone(change);
      }
      if (this.lossCount > 0) this.#noteForgotten(change);
      time.tell(() => textOfChange(change));
      image.apply(change);
      this.#checkInvariant(change);
    }
  }

  #noteForgotten({ commit: { address, partition }, activities }: Change): void {
    const { image } = this.#parts;
    for (const [partner, activity] of activities) {
      const before = image.activity(address, partner)?.inbound;
      if (before === undefined || activity?.inbound !== undefined) continue;
      const { session, through } = before;
      this.#forgotten.set(image.pairKey(address, partner), { partition, session, through });
    }
  }

  #checkHistory(node: SimulatedNode, { commit, entity }: Change): void {
    const { partition, epoch, address, expected, version } = commit;
    const now = this.#parts.image.epochs.get(partition) ?? 0;
    if (epoch !== now)
      this.violate(
        'P3',
        `${node.name} commits ${address} ${version} with epoch ${epoch} of partition ${partition}, which is at ${now}`,
      );
    if (partition !== this.#partitionOf(address))
      this.violate(
        'P3',
        `${node.name} commits ${address} ${version} by partition ${partition}, not ${this.#partitionOf(address)}`,
      );
    if (expected !== entity.version || version <= expected)
      this.violate('P3', `${address} goes from version ${entity.version} to ${version}, expecting ${expected}`);
  }

  /** A number of a session never means two messages, even after the store lost commits (A6). */
  #checkNumbers({ commit: { address }, sent }: Change): void {
    const { image } = this.#parts;
    if (!this.#isDurable(address)) return;
    for (const { to, session, message } of sent) {
      const before = image.everSent.get(image.messageKey(address, to, session, message.seq));
      if (before === undefined || isEqual(before.content.payload, message.content.payload)) continue;
      this.violate('P7', `${address} gives ${to} two messages ${session}.${message.seq}`);
    }
  }

  /** The only partition by which an entity may be committed now. */
  #partitionOf(address: Address): Partition {
    const { image, placement } = this.#parts;
    return image.pins.has(address)
      ? pinnedPartition(address, placement.view.partitions)
      : placement.partitionOf(address);
  }

  /** Numbers of a pair are ascending, even if they were forgotten in between. */
  #checkInbound(
    { commit: { address, records } }: Change,
    partner: PartnerId,
    { session, through, answers }: Inbound,
  ): void {
    const { image } = this.#parts;
    const before = image.activity(address, partner)?.inbound;
    if (before?.session === session && before.through === through) return;
    const isKept = answers.some(({ seq }) => seq === through);
    if (!isEntityPartner(partner) && !isKept && !hasPutOff(records, partner, { session, seq: through }))
      this.violate('P5', `${address} does not keep the answer to ${session}.${through} of ${partner}`);
    // A key may be used again when its life is over.
    if (partner[0] === '#') return;
    const known = image.processed.get(image.pairKey(address, partner));
    if (known === undefined || session > known.session || (session === known.session && through > known.through))
      return;
    const memory = before === undefined ? 'which it had forgotten' : `knowing ${before.session}.${before.through}`;
    this.violate(
      'P4',
      `${address} processes ${session}.${through} of ${partner} again after ${known.session}.${known.through}, ${memory}`,
    );
  }

  /** A message that leaves an outbox was processed, or is a dead letter. Only the application can tell whether rightly. */
  #checkGone({ commit: { address }, gone, sent, dead }: Change): void {
    const { image } = this.#parts;
    const letters = dead.filter(({ side }) => side === 'sender');
    for (const { to, session, message } of gone) {
      if (!isEntityPartner(to) || !this.#isDurable(to)) continue;
      if (image.wasProcessed(to, address, session, message.seq)) continue;
      const index = letters.findIndex(
        ({ partner, content }) => partner === to && isEqual(content.payload, message.content.payload),
      );
      const letter = index < 0 ? undefined : letters.splice(index, 1)[0];
      this.#checkHindered(address, to, { session, message }, letter !== undefined);
      const isMoved = sent.some(
        (other) => other.to === to && isEqual(other.message.content.payload, message.content.payload),
      );
      if (letter !== undefined || isMoved) continue;
      this.violate(
        'P7',
        `${session}.${message.seq} (${message.content.kind} ${message.content.operation}) of ${address} to ${to} left the outbox unprocessed`,
      );
    }
  }

  /** An entity that had this long without faults before its message expired had no reason to give it up. */
  #checkHindered(address: Address, to: PartnerId, { session, message }: Gone, isDead: boolean): void {
    if (!isDead || message.expires < this.healedAt + unhinderedMs) return;
    const text = `${session}.${message.seq} (${message.content.kind} ${message.content.operation}) of ${address} to ${to}`;
    this.violate('P7', `${text} became a dead letter though nothing hindered it`);
  }

  #checkInvariant({ entity }: Change): void {
    const { image, invariants } = this.#parts;
    const invariant = invariants[typeOf(entity.address)];
    if (invariant === undefined) return;
    try {
      invariant(image.decoded(entity));
    } catch (error) {
      this.violate(
        'P1',
        `${entity.address} version ${entity.version}: ${error instanceof Error ? error.message : String(error)}`,
      );
    }
  }
}

function isEqual(one: Uint8Array, other: Uint8Array): boolean {
  return one.length === other.length && one.every((byte, index) => byte === other[index]);
}
