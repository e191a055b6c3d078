/**
 * The inspector: reads an entity's stored state, activities, outbox, timers, dead letters and history without running
 * anything. Turns that are not yet committed do not show.
 */
import { type Activity, sessionOf } from '../../core/activity.ts';
import { type AgreementPart, isBroken } from '../../core/agreement-part.ts';
import { SkerryError } from '../../core/errors.ts';
import type { LaterAnswer } from '../../core/later.ts';
import { type Address, type PartnerId, parseAddress, typeOf } from '../../core/message.ts';
import { checkOptions, count } from '../../core/options.ts';
import {
  type DeadLetter,
  type EntityRecord,
  type HeldOperation,
  type HistoryItem,
  kindIn,
  type OutboxRow,
  type PartName,
  type PendingEffect,
  parts,
  recordName,
} from '../../core/record.ts';
import type { Timer } from '../../core/timer.ts';
import { partitionOf } from '../../placement/hash.ts';
import type { OutboxEntry } from '../client/client.ts';
import { decodeActivity, glancePart, stateVersionOf } from '../entity/record-format.ts';
import { restoreStored } from '../entity/record-reader.ts';
import type { Partition, RecordName, Store } from '../store.ts';

/** A stored entity, decoded. */
export interface Inspection {
  readonly address: Address;
  /** Version of the entity; it grows with every committed change. */
  readonly version: number;
  /** Time of the last committed turn, ms since 1970. */
  readonly at: number;
  readonly state: unknown;
  /** The `version` of the behaviour that wrote the state. */
  readonly stateVersion: number;
  /** The first `activityCountMax` of them. */
  readonly activities: readonly Activity[];
  readonly hasMoreActivities: boolean;
  /** Every unacknowledged message, including those whose activity is not listed above. */
  readonly outbox: readonly OutboxRow[];
  /** Bytes of the messages in the outbox. */
  readonly outboxBytes: number;
  readonly timers: readonly Timer[];
  readonly holds: readonly HeldOperation[];
  readonly effects: readonly PendingEffect[];
  /** Commands that were accepted and have no answer yet. */
  readonly later: readonly LaterAnswer[];
  /** Those that it has opened, until every party has heard the decision. */
  readonly agreements: readonly AgreementPart[];
  readonly dead: readonly DeadLetter[];
}

/** A summary of a stored entity, made without decoding its state. */
export interface Outline {
  readonly deadCount: number;
  /** Agreements with a party that was to be confirmed and is not. */
  readonly brokenCount: number;
  /** Of each agreement that is not decided: by when it is to be. */
  readonly undecidedBy: readonly number[];
  /** Undefined if a newer version of Skerry wrote it. */
  readonly stateVersion: number | undefined;
}

/** The reading part of a store. `remote-store.ts` implements it through a worker, for processes without the store. */
export type Reading = Pick<Store, 'partitions' | 'load' | 'scan' | 'list' | 'wakes' | 'epochs'>;

const pageCount = 500;

/** Reads stored entities without running anything. */
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

  /** A stored entity with at most `activityCountMax` activities (default 100). Undefined if never committed. Rejects with `invalid-address`. */
  async get(address: Address, options: { activityCountMax?: number } = {}): Promise<Inspection | undefined> {
    checkOptions('get()', options, { activityCountMax: count(0) });
    const entity = this.#entity(address);
    const limit = options.activityCountMax ?? 100;
    const first = await this.#read(entity);
    if (first === undefined) return undefined;
    const areRecords = !first.layout.hasActivities;
    const rows = areRecords ? await this.#store.scan(entity, parts.activities.letter, { limit: limit + 1 }) : [];
    // Meanwhile the activities may have moved into the head, so the head is read again after them.
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
      later: [...record.later.values()],
      agreements: [...record.agreements.values()],
      dead: [...record.dead.values()],
    };
  }

  /** The history of an entity whose type sets `historyMs`, oldest turn first; with `afterVersion`, only later turns. */
  async *history(address: Address, afterVersion?: number): AsyncIterable<HistoryItem> {
    const from = afterVersion === undefined ? undefined : recordName.history(afterVersion);
    for await (const [, bytes] of this.#records(address, 'history', from)) yield glancePart('history', bytes);
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

  /** Dead letters of one type, or of all types, with the entities that keep them. */
  async *dead(type?: string): AsyncIterable<{ readonly address: Address; readonly letter: DeadLetter }> {
    for await (const address of this.list(type))
      for await (const [, bytes] of this.#records(address, 'dead'))
        yield { address, letter: glancePart('dead', bytes) };
  }

  /** Agreements of one hub, or with the type of hub, or of all, while they are stored. */
  async *agreements(
    of: { readonly hub?: Address; readonly type?: string } = {},
  ): AsyncIterable<{ readonly address: Address; readonly agreement: AgreementPart }> {
    for await (const address of of.hub === undefined ? this.list(of.type) : [of.hub])
      for await (const [, bytes] of this.#records(address, 'agreements'))
        yield { address, agreement: glancePart('agreements', bytes) };
  }

  /** A summary of an entity, made without decoding its state. Undefined if never committed. */
  async outline(address: Address): Promise<Outline | undefined> {
    const [loaded] = await this.#store.load([this.#entity(address)]);
    if (loaded === undefined) return undefined;
    const deadCount = loaded.records.filter(([name]) => kindIn(name) === 'dead').length;
    const agreements = loaded.records.flatMap(([name, bytes]) =>
      kindIn(name) === 'agreements' ? [glancePart('agreements', bytes)] : [],
    );
    const brokenCount = agreements.filter(isBroken).length;
    const undecidedBy = agreements.flatMap(({ decision, decideBy }) => (decision === 'none' ? [decideBy] : []));
    return { deadCount, brokenCount, undecidedBy, stateVersion: stateVersionOf(loaded.head) };
  }

  /** An entity's records of a kind, in order, after `from`. */
  async *#records(address: Address, kind: PartName, from?: RecordName) {
    const entity = this.#entity(address);
    for (let after = from; ; ) {
      const rows = await this.#store.scan(
        entity,
        parts[kind].letter,
        after === undefined ? { limit: pageCount } : { after, limit: pageCount },
      );
      yield* rows;
      after = rows[pageCount - 1]?.[0];
      if (after === undefined) return;
    }
  }

  /** One message of an outbox, with its session. Rejects with `not-found`. */
  async outboxMessage(address: Address, partner: PartnerId, seq: number): Promise<OutboxEntry> {
    const entity = this.#entity(address);
    const found = await this.#read(entity);
    const waiting = found?.record.activities.get(partner)?.outbound?.unacked ?? [];
    const message = waiting.find((one) => one.seq === seq);
    const outbound = message === undefined ? undefined : await this.#outboundOf(entity, partner);
    if (message !== undefined && outbound !== undefined) return { partner, message, session: sessionOf(outbound, seq) };
    throw new SkerryError(
      'not-found',
      `${address} has no message ${seq} to ${partner} in its outbox: 'get ${address}' shows its outbox`,
    );
  }

  async #outboundOf(entity: { readonly partition: Partition; readonly address: Address }, partner: PartnerId) {
    const name = recordName.activity(partner);
    const [row] = await this.#store.scan(entity, name, { limit: 1 });
    // A small activity is in the head, and one that has shrunk returns to it (F3), so the head is read after the record.
    const found = await this.#read(entity);
    if (found?.layout.hasActivities === true) return found.record.activities.get(partner)?.outbound;
    return row?.[0] === name ? decodeActivity(partner, row[1]).outbound : undefined;
  }

  /** One dead letter. Rejects with `not-found`. */
  async deadLetter(address: Address, id: string): Promise<DeadLetter> {
    const found = await this.get(address, { activityCountMax: 0 });
    const letter = found?.dead.find((one) => one.id === id);
    if (letter === undefined)
      throw new SkerryError(
        'not-found',
        `${address} has no dead letter '${id}': 'dead list ${typeOf(address)}' shows the dead letters`,
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
