/** A hub with its parties on one workbench: a test delivers each message, or does not. */
import { acknowledge, type Content, frontOf } from '../../core/activity.ts';
import type { AgreementPart } from '../../core/agreement-part.ts';
import {
  agreed,
  agreement,
  behaviour,
  command,
  entity,
  type Limits,
  many,
  type OpenAgreement,
  type Outcome,
  one,
  some,
  tentative,
  unchecked,
} from '../../core/index.ts';
import { leaveOutbox } from '../../core/outbox.ts';
import type { TurnResult } from '../../core/turn.ts';
import { acknowledged, heard } from '../../core/word.ts';
import { Bench, committed, contentOf } from './bench.ts';
import { assert } from './suite.ts';

export const Stock = entity('stock', {
  initial: () => ({ free: 10, held: 0, sold: 0, isStuck: false }),
  operations: {
    reserve: tentative(unchecked<{ units: number }>(), { output: unchecked<string>() }),
    keep: tentative(unchecked<{ units: number }>(), { holdMs: Number.POSITIVE_INFINITY, output: unchecked<string>() }),
    stick: command(),
  },
});

const handlers = {
  tentative(
    turn: { key: string; state: { free: number; held: number }; refuse: (reason: string) => never },
    { units }: { units: number },
  ) {
    if (units > turn.state.free) return turn.refuse('too few');
    turn.state.free -= units;
    turn.state.held += units;
    return `shelf ${turn.key}`;
  },
  confirm(turn: { state: { held: number; sold: number; isStuck: boolean } }, { units }: { units: number }) {
    if (turn.state.isStuck) throw new Error('stuck');
    turn.state.held -= units;
    turn.state.sold += units;
  },
  cancel(turn: { state: { free: number; held: number } }, { units }: { units: number }) {
    turn.state.held -= units;
    turn.state.free += units;
  },
};

export const stock = behaviour(Stock, {
  reserve: handlers,
  keep: handlers,
  stick(turn) {
    turn.state.isStuck = true;
  },
});

type Line = { readonly key: string; readonly input: { readonly units: number } };
type Given = { readonly goods?: readonly Line[]; readonly spare?: readonly Line[]; readonly payer?: string };

export const Order = entity('order', {
  initial: () => ({
    heard: [] as unknown[],
    open: undefined as OpenAgreement | undefined,
    cash: 5,
    failing: '' as string,
    lost: '',
  }),
  operations: {
    all: command(unchecked<readonly Line[]>()),
    pick: command(unchecked<Given>()),
    lone: command(unchecked<unknown>()),
    stray: command(),
    cancel: command(unchecked<OpenAgreement | undefined>()),
    both: command(unchecked<readonly Line[]>()),
    resolve: command(),
    fail: command(unchecked<string>()),
    confirmHold: command(unchecked<{ entity: string; operation: string; id: string }>()),
  },
});

export const All = agreement('all', { parties: { goods: many(Stock).reserve }, decideWithinMs: 10_000 });
export const Pick = agreement('pick', {
  parties: { goods: many(Stock).reserve, spare: some(Stock, 2).reserve },
  decideWithinMs: 10_000,
});
const Lone = agreement('lone', { parties: { payer: one(Stock).reserve }, decideWithinMs: 10_000 });
const Stray = agreement('stray', { parties: { payer: one(Stock).reserve }, decideWithinMs: 10_000 });

type Turned = {
  state: { heard: unknown[]; failing: string; cash: number; lost: string; open: OpenAgreement | undefined };
  refuse: (reason: string) => never;
};

/** What the hub heard, as text for its tests. */
const news = {
  decided(turn: Turned, outcome: Outcome<string, { readonly [role: string]: never }>) {
    if (turn.state.failing === 'decided') throw new Error('decided fails');
    if (turn.state.failing === 'refuses') return turn.refuse('no');
    if (outcome.decision === 'confirm') turn.state.cash -= 1;
    turn.state.heard.push({ ...outcome, of: outcome.of.agreement });
  },
  broken(turn: Turned, { role, key, output, why }: { role: string; key: string; output: string; why: string }) {
    if (turn.state.failing === 'broken') throw new Error('broken fails');
    turn.state.heard.push(`broken ${role} ${key} ${why}`);
    turn.state.lost = output;
  },
  settled(turn: Turned, of: OpenAgreement) {
    if (turn.state.failing === 'settled') throw new Error('settled fails');
    turn.state.heard.push(`settled ${of.agreement}`);
  },
};

export const order = behaviour(
  Order,
  {
    all(turn, goods) {
      turn.state.open = turn.agree(All, { goods });
    },
    pick(turn, { goods = [], spare = [] }) {
      turn.state.open = turn.agree(Pick, { goods, spare });
    },
    lone(turn, given) {
      turn.state.open = turn.agree(Lone, given as never);
    },
    stray(turn) {
      turn.agree(Stray, { payer: { key: 'a', input: { units: 1 } } });
    },
    cancel(turn, open) {
      turn.cancel((open ?? turn.state.open) as OpenAgreement);
    },
    both(turn, goods) {
      turn.cancel(turn.agree(All, { goods }));
    },
    resolve(turn) {
      turn.resolve(turn.state.open as OpenAgreement);
    },
    fail(turn, failing) {
      turn.state.failing = failing;
    },
    confirmHold(turn, hold) {
      turn.confirm(hold);
    },
  },
  {
    historyMs: 1_000,
    agreements: [
      agreed(Order, All, news as never),
      agreed(Order, Pick, news as never),
      agreed(Order, Lone, { decided: news.decided as never, broken: news.broken }),
    ],
  },
);

export class HubBench {
  readonly hub: Bench;
  readonly limits: Partial<Limits> | undefined;
  readonly #parties = new Map<string, Bench>();

  constructor(limits?: Partial<Limits>) {
    this.limits = limits;
    this.hub = new Bench(order, limits === undefined ? {} : { limits });
    this.hub.now = 1_000_000;
  }

  party(key: string): Bench {
    let party = this.#parties.get(key);
    if (party === undefined) {
      party = new Bench(stock, this.limits === undefined ? { key } : { key, limits: this.limits });
      party.record.lineage = { ...party.record.lineage, name: `party.${key}` };
      party.now = this.hub.now;
      this.#parties.set(key, party);
    }
    return party;
  }

  set now(now: number) {
    this.hub.now = now;
    for (const party of this.#parties.values()) party.now = now;
  }

  get now(): number {
    return this.hub.now;
  }

  /** The hub's first message to a party arrives there. */
  ask(key: string): TurnResult {
    const [content] = this.#take(this.hub, `stock/${key}`);
    return this.party(key).send('order/one', content as Content);
  }

  /** The party's first message arrives at the hub. */
  answer(key: string): TurnResult {
    const [content] = this.#take(this.party(key), 'order/one');
    return this.hub.send(`stock/${key}`, content as Content);
  }

  /** Delivers a request and its answer. */
  settle(...keys: readonly string[]): void {
    for (const key of keys) {
      committed(this.ask(key));
      committed(this.answer(key));
    }
  }

  /** The messages that wait for a party, without sending them. */
  waiting(key: string): string[] {
    return this.hub.outbox(`stock/${key}`).map(({ kind }) => kind);
  }

  /** Delivers the hub's word. The hub gets the acknowledgement that the party gives. */
  word(key: string): TurnResult {
    const { outbound } = this.hub.record.activities.get(`stock/${key}`) ?? {};
    const message = outbound?.unacked[0];
    assert.ok(message !== undefined, `no word for ${key}`);
    const result = this.party(key).send('order/one', message.content);
    this.acknowledge(key);
    return result;
  }

  /** Delivers the party's acknowledgement to the hub. */
  acknowledge(key: string): void {
    const { record } = this.hub;
    const partner = `stock/${key}`;
    const { outbound } = record.activities.get(partner) ?? {};
    const through = acknowledged(this.party(key).record.activities.get('order/one')) ?? 0;
    // Each pair has its own numbers from 1, as streams have.
    const removed = acknowledge(outbound, outbound === undefined ? 0 : frontOf(outbound), through, this.now);
    for (const message of removed) {
      leaveOutbox(record, message);
      heard(record, message.content, this.now, order.agreements);
    }
  }

  #take(bench: Bench, partner: string): readonly Content[] {
    const { outbound } = bench.record.activities.get(partner) ?? {};
    const [message] = outbound?.unacked ?? [];
    assert.ok(outbound !== undefined && message !== undefined, `nothing for ${partner}`);
    const removed = acknowledge(outbound, frontOf(outbound), message.seq, this.now);
    for (const one of removed) leaveOutbox(bench.record, one);
    return removed.map(({ content }) => content);
  }

  get part(): AgreementPart | undefined {
    return [...this.hub.record.agreements.values()][0];
  }

  /** The turn of the agreement's own deadline. */
  due(): TurnResult {
    return this.hub.run({ kind: 'due', part: 'agreements', id: this.part?.id ?? '' });
  }

  get heard(): unknown[] {
    return (this.hub.record.state.value as { heard: unknown[] }).heard;
  }

  stock(key: string): unknown {
    const { free, held, sold } = this.party(key).record.state.value as { free: number; held: number; sold: number };
    return [free, held, sold];
  }
}

export const line = (key: string, units = 1) => ({ key, input: { units } });
export { contentOf };
