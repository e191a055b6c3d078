/** A bench for delivery: one entity with messages in its outbox, and the envelopes that delivery posts. Deterministic. */
import { type Content, lineageOf, newActivity, newOutbound, type Outbound } from '../../core/activity.ts';
import type { BehaviourOptions } from '../../core/behaviour.ts';
import { behaviour, command, defaultLimits, entity, type Limits } from '../../core/index.ts';
import { Activation } from '../../runtime/entity/activation.ts';
import type { Flight } from '../../runtime/entity/batch.ts';
import { Delivery, type Sign } from '../../runtime/entity/delivery.ts';
import { Ownership } from '../../runtime/entity/ownership.ts';
import { freshRecord } from '../../runtime/entity/record-reader.ts';
import { momentOf } from '../../runtime/environment.ts';
import { Counters } from '../../runtime/meter.ts';
import { MemoryStore } from '../../runtime/stores/memory.ts';
import type { Envelope, StreamEnvelope } from '../../runtime/wire/envelope.ts';
import { HandEnvironment } from './hand.ts';

const Stock = entity('stock', { initial: () => ({}), operations: { take: command() } });
export const partner = 'stock/far';
export const near = 'stock/near';
export const content: Content = {
  ...{ kind: 'operation', operation: 'take', payload: new Uint8Array(0), hold: '', wantsAnswer: false },
};
interface Given {
  readonly lifeMs?: number;
  readonly limits?: Partial<Limits>;
  readonly options?: BehaviourOptions;
  readonly count?: number;
}

/** A delivery, and an entity with a number of messages of session 5 in its outbox. Pauses have no jitter. */
export function bench({ lifeMs = 60_000, limits = {}, options = {}, count = 2 }: Given = {}) {
  const environment = new HandEnvironment();
  environment.random = () => 0.5;
  const [posted, signs, woken]: [Envelope[], Sign[], number[]] = [[], [], []];
  const counts = { commits: 0 };
  const store = new MemoryStore({ partitions: 1 });
  const ownership = new Ownership(store, environment, () => undefined);
  const delivery = new Delivery({
    environment,
    counters: new Counters(),
    limits: { ...defaultLimits, ...limits },
    ownership,
    post: (envelope) => void posted.push(envelope),
    wakeBy: (_, at) => void woken.push(at),
    noticed: (sign) => void signs.push(sign),
    commit: () => {
      counts.commits += 1;
    },
  });
  const activation = new Activation(near, 0, behaviour(Stock, { take: () => undefined }, options));
  activation.load(freshRecord(near, activation.behaviour));
  // Its own, so that tests share no sessions.
  activation.entity.lineage = lineageOf('edges', 0);
  activation.goOn();
  const expires = environment.now() + lifeMs;
  const unacked = Array.from({ length: count }, (_, index) => ({ seq: index + 1, expires, content }));
  const outbound: Outbound = { ...newOutbound(5, 0), next: count + 1, unacked };
  const activity = { ...newActivity(partner), outbound: outbound as Outbound | undefined };
  activation.entity.activities.set(partner, activity);
  activation.entity.outboxCount = count;
  const flight = () => activation.flights?.get(partner) as Flight;
  /** Numbers of the messages posted since the last call, each with the floor that it carries. */
  const sent = () =>
    posted.splice(0).map((one) => (one.kind === 'message' ? `${one.arrival.seq}>${one.arrival.floor}` : one.kind));
  const own = async () => {
    const [claim] = await store.claim([0], 'this worker');
    ownership.take(0, claim?.epoch ?? 0, momentOf(environment));
  };
  const release = (through = count) =>
    delivery.durable(activation, activity, { stream: outbound, through, isClosing: false });
  const record = activation.entity;
  const it = { environment, store, ownership, delivery, activation, activity, outbound, record, flight };
  return { ...it, posted, signs, woken, counts, sent, own, release, expires };
}

export const signal = (kind: StreamEnvelope['kind'], number: number, session = 5): StreamEnvelope => ({
  ...{ kind, to: near, from: partner, session, number },
});
