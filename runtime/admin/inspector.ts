/**
 * Looking inside: an entity's stored state, activities, outbox, timers, dead letters and log, read from a store without
 * running anything. What a turn has decided and the store does not have yet is not shown.
 */
import { type Activity, sessionOf } from '../../core/activity.ts';
import { SkerryError } from '../../core/errors.ts';
import { type Address, type PartnerId, parseAddress, typeOf } from '../../core/message.ts';
import { checkOptions, count } from '../../core/options.ts';
import {
  type DeadLetter,
  type EntityRecord,
  type HeldOperation,
  type HistoryItem,
  type OutboxRow,
  type PendingEffect,
  recordName,
  type Timer,
} from '../../core/record.ts';
import { partitionOf } from '../../placement/hash.ts';
import type { OutboxEntry } from '../client/client.ts';
import { decodeActivity, decodeHistory, readDead, restoreStored, stateVersionOf } from '../entity/record-reader.ts';
import type { Partition, RecordName, Store } from '../store.ts';
import { rowOf } from '../wire/codec.ts';

export interface Inspection {
  readonly address: Address;
  readonly version: number;
  readonly at: number;
  readonly state: unknown;
  readonly stateVersion: number;
  /** At most `activityCountMax` of them. */
  readonly activities: readonly Activity[];
  readonly hasMoreActivities: boolean;
  /** Every message not yet acknowledged, whether or not its activity is among those above. */
  readonly outbox: readonly OutboxRow[];
  /** Of what those carry. */
  readonly outboxBytes: number;
  readonly timers: readonly Timer[];
  readonly holds: readonly HeldOperation[];
  readonly effects: readonly PendingEffect[];
  readonly dead: readonly DeadLetter[];
}

export interface Outline {
  readonly deadCount: number;
  /** Undefined: a newer Skerry wrote it. */
  readonly stateVersion: number | undefined;
}

/** What is read of a store: also through a worker, from where the store cannot be reached (`remote-store.ts`). */
export type Reading = Pick<Store, 'partitions' | 'load' | 'scan' | 'list' | 'wakes' | 'epochs'>;

const pageCount = 500;

/** What is stored of entities, read without running anything. */
export class Inspector {
  readonly #store: Reading;

  constructor(store: Reading) {
    this.#store = store;
  }

  #entity(address: Address) {
    parseAddress(address);
    return { partition: partitionOf(address, this.#store.partitions), address };
  }

  async #read(entity: { readonly partition: Partition; readonly address: Address }) {
    const [loaded] = await this.#store.load([entity]);
    return loaded === undefined ? undefined : restoreStored(entity.address, loaded);
  }

  /** What the store has of an entity; undefined: it was never committed. Throws `invalid-address`. */
  async get(address: Address, options: { activityCountMax?: number } = {}): Promise<Inspection | undefined> {
    checkOptions('get()', options, { activityCountMax: count(0) });
    const entity = this.#entity(address);
    const limit = options.activityCountMax ?? 100;
    const first = await this.#read(entity);
    if (first === undefined) return undefined;
    const areRecords = !first.layout.hasActivities;
    const rows = areRecords ? await this.#store.scan(entity, 'p', { limit: limit + 1 }) : [];
    // They may have come into the head before they were read: nothing is missing there.
    const { record, layout, stateVersion } = (areRecords ? await this.#read(entity) : undefined) ?? first;
    const activities = layout.hasActivities
      ? [...record.activities.values()]
      : rows.map(([name, bytes]) => withOutbox(record, decodeActivity(name.slice(1), bytes)));
    return {
      address,
      version: record.version,
      at: record.now,
      state: record.state.value,
      stateVersion,
      activities: activities.slice(0, limit),
      hasMoreActivities: activities.length > limit,
      outbox: outboxOf(record),
      outboxBytes: record.outboxBytes,
      timers: [...record.timers.values()],
      holds: [...record.holds.values()],
      effects: [...record.effects.values()],
      dead: [...record.dead.values()],
    };
  }

  /** The committed turns that a type with `historyMs` keeps, oldest first; those after a version, if one is given. */
  async *history(address: Address, afterVersion?: number): AsyncIterable<HistoryItem> {
    const from = afterVersion === undefined ? undefined : recordName.history(afterVersion);
    for await (const [, bytes] of this.#records(address, 'h', from)) yield decodeHistory(bytes);
  }

  /** Addresses of a type, or of all types, in order of their bytes. */
  async *list(type?: string): AsyncIterable<Address> {
    for (let after: Address | undefined; ; ) {
      const addresses = await this.#store.list(
        type,
        after === undefined ? { limit: pageCount } : { after, limit: pageCount },
      );
      yield* addresses;
      after = addresses[pageCount - 1];
      if (after === undefined) return;
    }
  }

  /** Dead letters, of one type or of all, with the entities that keep them. */
  async *dead(type?: string): AsyncIterable<{ readonly address: Address; readonly letter: DeadLetter }> {
    for await (const address of this.list(type))
      for await (const [, bytes] of this.#records(address, 'd')) yield { address, letter: readDead(rowOf(bytes)) };
  }

  /** What can be told of an entity without decoding its state; undefined: it was never committed. */
  async outline(address: Address): Promise<Outline | undefined> {
    const [loaded] = await this.#store.load([this.#entity(address)]);
    if (loaded === undefined) return undefined;
    const deadCount = loaded.records.filter(([name]) => name.startsWith('d')).length;
    return { deadCount, stateVersion: stateVersionOf(loaded) };
  }

  /** An entity's records whose names begin so, in order, from one on. */
  async *#records(address: Address, prefix: string, from?: RecordName) {
    const entity = this.#entity(address);
    for (let after = from; ; ) {
      const rows = await this.#store.scan(
        entity,
        prefix,
        after === undefined ? { limit: pageCount } : { after, limit: pageCount },
      );
      yield* rows;
      after = rows[pageCount - 1]?.[0];
      if (after === undefined) return;
    }
  }

  /** One message of an outbox, with its session. Throws `not-found`. */
  async outboxMessage(address: Address, partner: PartnerId, seq: number): Promise<OutboxEntry> {
    const entity = this.#entity(address);
    const found = await this.#read(entity);
    const waiting = found?.record.activities.get(partner)?.outbound?.unacked ?? [];
    const message = waiting.find((one) => one.seq === seq);
    const outbound = message === undefined ? undefined : await this.#outboundOf(entity, partner);
    if (message !== undefined && outbound !== undefined) return { partner, message, session: sessionOf(outbound, seq) };
    throw new SkerryError(
      'not-found',
      `${address} has no such message in its outbox: ${seq} to ${partner}. 'get ${address}' shows those that there are`,
    );
  }

  async #outboundOf(entity: { readonly partition: Partition; readonly address: Address }, partner: PartnerId) {
    const name = recordName.activity(partner);
    const [row] = await this.#store.scan(entity, name, { limit: 1 });
    // Small ones are in the head, and those that were larger have come back into it (F3): the head comes after the record.
    const found = await this.#read(entity);
    if (found?.layout.hasActivities === true) return found.record.activities.get(partner)?.outbound;
    return row?.[0] === name ? decodeActivity(partner, row[1]).outbound : undefined;
  }

  /** One dead letter. Throws `not-found`. */
  async deadLetter(address: Address, id: string): Promise<DeadLetter> {
    const found = await this.get(address, { activityCountMax: 0 });
    const letter = found?.dead.find((one) => one.id === id);
    if (letter === undefined)
      throw new SkerryError(
        'not-found',
        `${address} has no dead letter '${id}': 'dead list ${typeOf(address)}' shows those that there are`,
      );
    return letter;
  }
}

function outboxOf(record: EntityRecord): OutboxRow[] {
  return [...record.activities.values()].flatMap(({ partner, outbound }) =>
    (outbound?.unacked ?? []).map((message) => ({ partner, message })),
  );
}

function withOutbox(record: EntityRecord, activity: Activity): Activity {
  const waiting = record.activities.get(activity.partner)?.outbound?.unacked ?? [];
  if (activity.outbound !== undefined) activity.outbound.unacked = waiting;
  return activity;
}
