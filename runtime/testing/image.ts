/**
 * The image: what the simulated store holds and has ever held, readable at any moment without a call.
 *
 * Owns the mirror of every accepted commit, and the facts that stay true for ever: which messages were processed, which were in
 * an outbox, which answers were stored. The checks compare the workers' output with it.
 */
import { type Activity, type Arrival, type OutboxMessage, sessionOf } from '../../core/activity.ts';
import type { Address, PartnerId } from '../../core/message.ts';
import { isEntityPartner } from '../../core/message.ts';
import { type DeadLetter, type EntityRecord, idIn, kindIn, recordName, rowsOf } from '../../core/record.ts';
import { partitionOf } from '../../placement/hash.ts';
import { decodeActivity, glancePart } from '../entity/record-format.ts';
import { restoreStored } from '../entity/record-reader.ts';
import { type Commit, type Epoch, type Loaded, lazyTables, type Partition } from '../store.ts';
import { rowOf } from '../wire/codec.ts';

/** One entity as it is stored. */
export interface Stored {
  readonly address: Address;
  readonly partition: Partition;
  version: number;
  head: Uint8Array;
  wakeAt: number | undefined;
  leaves: Commit['leaves'];
  readonly records: Map<string, Uint8Array>;
  /** The activities in its head; undefined: they are records. */
  inHead: ReadonlyMap<PartnerId, Activity> | undefined;
}

/** A stored entity, decoded. */
export interface StoredEntity extends EntityRecord {
  readonly partners: ReadonlyMap<PartnerId, Activity>;
}

/** The highest message of a pair that was ever durably processed. */
interface Through {
  session: number;
  through: number;
}

/** One commit as it changed the image, with its stream data, decoded once. */
export interface Change {
  readonly commit: Commit;
  readonly entity: Stored;
  readonly inHead: ReadonlyMap<PartnerId, Activity> | undefined;
  readonly activities: readonly (readonly [PartnerId, Activity | undefined])[];
  readonly sent: readonly { readonly to: PartnerId; readonly message: OutboxMessage; readonly session: number }[];
  readonly gone: readonly { readonly to: PartnerId; readonly session: number; readonly message: OutboxMessage }[];
  readonly dead: readonly DeadLetter[];
}

export class Image {
  readonly entities = new Map<Address, Stored>();
  readonly epochs = new Map<Partition, Epoch>();
  /** The worker of each pinned entity. */
  readonly pins = new Map<Address, string>();
  /** By receiver and sender. */
  readonly processed = new Map<string, Through>();
  /** By receiver, sender and session: the highest number that was ever durably processed. */
  readonly everThrough = new Map<string, number>();
  /** By sender, receiver, session and number: messages that were ever in an outbox. */
  readonly everSent = new Map<string, OutboxMessage>();
  /** By sender, receiver and session: sessions whose closing is durable. */
  readonly everClosing = new Set<string>();
  /** By entity, client, session and number: the answer that was stored first. */
  // The type is written out: compilers before 5.7 cannot read the inferred one.
  readonly answers: Map<string, Uint8Array> = new Map();
  /** Until when each of those answers had to be remembered. */
  readonly #keptUntil = new Map<string, number>();
  /** By entity and id: effects that a durable turn performed. */
  readonly everAsked = new Set<string>();
  readonly #sessions = new Map<string, number>();

  pairKey(receiver: Address, sender: PartnerId): string {
    return `${receiver}\n${sender}`;
  }

  messageKey(sender: PartnerId, receiver: PartnerId, session: number, seq: number): string {
    return `${sender}\n${receiver}\n${session}\n${seq}`;
  }

  isProcessed(receiver: Address, sender: PartnerId, session: number, seq: number): boolean {
    const known = this.processed.get(this.pairKey(receiver, sender));
    return known !== undefined && (known.session > session || (known.session === session && known.through >= seq));
  }

  /** Whether the store has the command of this call as one that is answered later. */
  isPutOff(receiver: Address, sender: PartnerId, { session, seq }: Pick<Arrival, 'session' | 'seq'>): boolean {
    return hasPutOff(this.entities.get(receiver)?.records ?? [], sender, { session, seq });
  }

  /** Whether this message was ever processed. */
  wasProcessed(receiver: Address, sender: PartnerId, session: number, seq: number): boolean {
    return (this.everThrough.get(`${this.pairKey(receiver, sender)}\n${session}`) ?? 0) >= seq;
  }

  /** An activity as it is stored now. */
  activity(address: Address, partner: PartnerId): Activity | undefined {
    const entity = this.entities.get(address);
    if (entity?.inHead !== undefined) return entity.inHead.get(partner);
    const bytes = entity?.records.get(recordName.activity(partner));
    return bytes === undefined ? undefined : decodeActivity(partner, bytes);
  }

  /** The change that an accepted commit makes, for the checks before it is applied. */
  changeOf(commit: Commit): Change {
    let entity = this.entities.get(commit.address);
    if (entity === undefined) {
      const { address, partition } = commit;
      const nothing = { version: 0, head: new Uint8Array(), wakeAt: undefined, inHead: undefined, leaves: undefined };
      entity = { address, partition, ...nothing, records: new Map() };
      this.entities.set(address, entity);
    }
    return this.#decodeChange(commit, entity);
  }

  /** Saves the present content. History is not saved, because the past cannot be undone. */
  copy(): Image {
    const copy = new Image();
    for (const [address, entity] of this.entities) copy.entities.set(address, copyOf(entity));
    for (const [partition, epoch] of this.epochs) copy.epochs.set(partition, epoch);
    for (const [address, worker] of this.pins) copy.pins.set(address, worker);
    return copy;
  }

  /** Some partitions return to a saved content. */
  goBack(kept: Image, gone: { isGone(partition: Partition): boolean; readonly partitions: number }): void {
    const isGone = (address: Address) => gone.isGone(partitionOf(address, gone.partitions));
    for (const address of [...this.entities.keys()]) if (isGone(address)) this.entities.delete(address);
    for (const [address, entity] of kept.entities) if (isGone(address)) this.entities.set(address, copyOf(entity));
    for (const address of [...this.pins.keys()]) if (isGone(address)) this.pins.delete(address);
    for (const [address, worker] of kept.pins) if (isGone(address)) this.pins.set(address, worker);
    for (const partition of [...this.epochs.keys()])
      if (gone.isGone(partition)) this.epochs.set(partition, kept.epochs.get(partition) ?? 0);
  }

  /** Applies the commit. */
  apply(change: Change): void {
    const { commit, entity } = change;
    entity.version = commit.version;
    entity.head = commit.head.slice();
    entity.wakeAt = commit.wakeAt;
    entity.inHead = change.inHead;
    entity.leaves = commit.leaves;
    for (const [name, bytes] of commit.records) {
      if (bytes === null) entity.records.delete(name);
      else {
        entity.records.set(name, bytes.slice());
        if (kindIn(name) === 'effects') this.everAsked.add(`${entity.address}\n${idIn(name)}`);
      }
    }
    this.#remember(change);
    if (commit.leaves === 'nothing') this.entities.delete(commit.address);
  }

  #decodeChange(commit: Commit, entity: Stored): Change {
    const { address } = commit;
    const inHead = activitiesIn(address, commit);
    const activities = new Map<PartnerId, Activity | undefined>();
    for (const partner of entity.inHead?.keys() ?? []) activities.set(partner, undefined);
    for (const [name, bytes] of commit.records) {
      if (kindIn(name) !== 'activities') continue;
      const partner = idIn(name);
      activities.set(partner, bytes === null ? undefined : decodeActivity(partner, bytes));
    }
    for (const [partner, activity] of inHead ?? []) activities.set(partner, activity);
    const sent: Change['sent'][number][] = [];
    const gone: Change['gone'][number][] = [];
    const dead: DeadLetter[] = [];
    for (const [name, bytes] of commit.records) {
      const kind = kindIn(name);
      if (kind === 'dead' && bytes !== null) dead.push(glancePart('dead', bytes));
      if (kind !== 'outbox') continue;
      const before = entity.records.get(name);
      const known = bytes ?? before;
      if (known === undefined) continue;
      const { partner: to, message } = glancePart('outbox', known);
      const outbound = activities.get(to)?.outbound;
      const sealed = outbound === undefined ? undefined : sessionOf(outbound, message.seq);
      const session = bytes === null ? this.#sessions.get(`${address}\n${name}`) : sealed;
      if (session === undefined) continue;
      if (bytes === null) gone.push({ to, session, message });
      else {
        sent.push({ to, session, message });
        this.#sessions.set(`${address}\n${name}`, session);
      }
    }
    return { commit, entity, inHead, activities: [...activities], sent, gone, dead };
  }

  /** From here on the content of the commit is history. */
  #remember({ commit: { address, head }, activities, sent }: Change): void {
    for (const { to, session, message } of sent)
      this.everSent.set(this.messageKey(address, to, session, message.seq), message);
    for (const [partner, activity] of activities) {
      if (activity?.outbound?.isClosing === true)
        this.everClosing.add(`${address}\n${partner}\n${activity.outbound.session}`);
      if (activity?.inbound !== undefined) this.#rememberInbound(address, partner, activity.inbound, head);
    }
  }

  #rememberInbound(
    address: Address,
    partner: PartnerId,
    inbound: NonNullable<Activity['inbound']>,
    head: Uint8Array,
  ): void {
    const key = this.pairKey(address, partner);
    const known = this.processed.get(key);
    const { session, through } = inbound;
    const ever = `${key}\n${session}`;
    this.everThrough.set(ever, Math.max(this.everThrough.get(ever) ?? 0, through));
    const isMore =
      known === undefined || session > known.session || (session === known.session && through > known.through);
    if (isMore) this.processed.set(key, { session, through });
    if (isEntityPartner(partner)) return;
    for (const { seq, bytes } of inbound.answers) {
      const answer = this.messageKey(partner, address, session, seq);
      // After the life of a key the same message is another request.
      const isOver = partner.startsWith('#') && timeOf(head) > (this.#keptUntil.get(answer) ?? Number.MAX_VALUE);
      if (isOver || !this.answers.has(answer)) this.answers.set(answer, bytes);
      this.#keptUntil.set(answer, inbound.keepUntil);
    }
  }

  /** Whether this equals the stored content of an entity. A snapshot with patches may equal one snapshot. */
  isAsStored(address: Address, loaded: Loaded): boolean {
    const stored = this.entities.get(address);
    if (stored?.version !== loaded.version || stored.wakeAt !== loaded.wakeAt) return false;
    const facts = (record: EntityRecord) =>
      JSON.stringify([
        record.state.value,
        rowsOf(record)
          .map(([name]) => name)
          .sort(),
        [...record.activities.keys()].sort(),
      ]);
    return facts(restoreStored(address, loaded).record) === facts(restoreStored(address, loadedOf(stored)).record);
  }

  /** An entity with all its parts, decoded. */
  decoded(entity: Stored): StoredEntity {
    const { record } = restoreStored(entity.address, loadedOf(entity));
    if (entity.inHead !== undefined) return { ...record, partners: new Map(record.activities) };
    const partners = new Map<PartnerId, Activity>();
    for (const [name, bytes] of entity.records) {
      if (kindIn(name) !== 'activities') continue;
      const partner = idIn(name);
      const activity = decodeActivity(partner, bytes);
      if (activity.outbound !== undefined)
        activity.outbound.unacked = record.activities.get(partner)?.outbound?.unacked ?? [];
      partners.set(partner, activity);
    }
    return { ...record, partners };
  }
}

function copyOf(entity: Stored): Stored {
  return { ...entity, records: new Map(entity.records) };
}

/** The activities in a commit's head. */
function activitiesIn(address: Address, { version, wakeAt, head }: Commit): Change['inHead'] {
  const { record, layout } = restoreStored(address, { version, wakeAt, head, records: [] });
  return layout.hasActivities ? new Map(record.activities) : undefined;
}

function loadedOf(entity: Stored): Loaded {
  const records = [...entity.records]
    .filter(([name]) => !lazyTables.has(name.charAt(0)))
    .sort(([one], [other]) => (one < other ? -1 : 1));
  return { version: entity.version, head: entity.head, wakeAt: entity.wakeAt, records };
}

/** Time of the turn that wrote the commit. */
function timeOf(head: Uint8Array): number {
  const row = rowOf(head);
  row.number();
  row.number();
  return row.storedDate();
}

/** Whether one of these records is the open command of a call. */
export function hasPutOff(
  records: Iterable<readonly [string, Uint8Array | null]>,
  sender: PartnerId,
  { session, seq }: Pick<Arrival, 'session' | 'seq'>,
): boolean {
  for (const [name, bytes] of records) {
    if (bytes === null || kindIn(name) !== 'later') continue;
    const open = glancePart('later', bytes);
    if (open.partner === sender && open.session === session && open.seq === seq) return true;
  }
  return false;
}
