/** Idempotency keys: a key is one request, and how long it is one. */
import * as v from 'valibot';
import { behaviour } from '../../core/behaviour.ts';
import { entity } from '../../core/entity.ts';
import { defaultLimits } from '../../core/limits.ts';
import { command, query, tentative, unchecked } from '../../core/operation.ts';
import type { Client } from '../../runtime/client/client.ts';
import { fingerprintOf } from '../../runtime/entity/fingerprint.ts';
import { decode, encode } from '../../runtime/wire/codec.ts';
import { GateStore } from '../support/gate.ts';
import { assert, rejects, suite } from '../support/suite.ts';
import { tallyWith, watch, withTallies } from '../support/tally.ts';

const test = suite('keys');

const Order = v.object({ units: v.pipe(v.number(), v.minValue(1)), note: v.optional(v.string()) });
const Stock = entity('stock', {
  initial: () => ({ free: 10, held: 0, sold: 0 }),
  operations: {
    receive: command(Order, unchecked<number>()),
    drop: command(Order, unchecked<number>()),
    reserve: tentative(Order, { holdMs: 60_000 }),
    look: query(unchecked<{ free: number; held: number; sold: number }>()),
  },
});
const stock = behaviour(Stock, {
  receive: (turn, { units }) => {
    turn.state.free += units;
    return turn.state.free;
  },
  drop: (turn, { units }) => {
    turn.state.free -= units;
    return turn.state.free;
  },
  reserve: {
    tentative: (turn, { units }) => {
      turn.state.free -= units;
      turn.state.held += units;
    },
    confirm: (turn, { units }) => {
      turn.state.held -= units;
      turn.state.sold += units;
    },
    cancel: (turn, { units }) => {
      turn.state.held -= units;
      turn.state.free += units;
    },
  },
  look: (view) => ({ ...view.state }),
});
const shop = { behaviours: [stock, tallyWith()] };
const key = { idempotencyKey: 'req-1' };

test('N4: another operation, input or kind under a key is refused with effect none, and what it asked can be done under its own', () =>
  withTallies(shop, async ({ cluster, during }) => {
    const tea = cluster.entity(Stock, 'tea');
    assert.is(await during(tea.receive({ units: 5 }, key)), 15);
    const others: readonly (() => Promise<unknown>)[] = [
      () => tea.receive({ units: 6 }, key),
      () => tea.drop({ units: 5 }, key),
      () => tea.reserve({ units: 5 }, key),
      () => tea.receive({ units: 5, note: '' }, key),
    ];
    for (const other of others) {
      const error = await rejects(during(other()), 'invalid-input', /idempotency key 'req-1'.*a different request/);
      assert.is(error.effect, 'none');
    }
    assert.is(await during(tea.receive({ units: 5 }, key)), 15, 'the first one keeps its answer');
    assert.is(await during(tea.receive({ units: 6 }, { idempotencyKey: 'req-2' })), 21);
    assert.equal(await during(tea.look()), { free: 21, held: 0, sold: 0 });
  }));

test('N4: a hold’s confirm under the key of its tentative call is another request; under its own key it is one', () =>
  withTallies(shop, async ({ cluster, during }) => {
    const tea = cluster.entity(Stock, 'tea');
    const accepted = await during(tea.reserve({ units: 3 }, key));
    await rejects(during(accepted.confirm(key)), 'invalid-input', /a different request/);
    await rejects(during(accepted.cancel(key)), 'invalid-input', /a different request/);
    const confirm = { idempotencyKey: 'req-1 confirm' };
    await during(accepted.confirm(confirm));
    await during(accepted.confirm(confirm));
    await rejects(during(accepted.cancel(confirm)), 'invalid-input', /a different request/);
    assert.equal(await during(tea.look()), { free: 7, held: 0, sold: 3 });
    const again = await during(tea.reserve({ units: 3 }, key));
    assert.equal(again.hold, accepted.hold, 'the tentative call keeps its answer');
  }));

test('N4: a request is the same after a restart and on another worker, also while its first turn is not durable', async () => {
  const gate = new GateStore();
  await withTallies({ ...shop, gate }, async ({ hand, cluster, during }) => {
    const tea = cluster.entity(Stock, 'tea');
    await during(tea.look());
    const open = gate.holdCommits();
    const first = watch(tea.receive({ units: 5 }, key));
    const other = watch(tea.receive({ units: 7 }, key));
    await hand.advance(50);
    assert.not.ok(other.isSettled, 'what it is told waits for what it saw');
    open();
    await hand.idle();
    assert.is(first.value, 15);
    assert.match(String(other.error), /a different request/);
  });
  await withTallies({ ...shop, gate, workers: 2 }, async ({ cluster, during }) => {
    const tea = cluster.entity(Stock, 'tea');
    await rejects(during(tea.receive({ units: 7 }, key)), 'invalid-input', /a different request/);
    assert.is(await during(tea.receive({ units: 5 }, key)), 15);
  });
});

test('N4: what a schema refuses is not remembered under a key: the corrected request may use it', () =>
  withTallies(shop, async ({ cluster, gate, during }) => {
    const tea = cluster.entity(Stock, 'tea');
    await during(tea.look());
    const error = await rejects(during(tea.receive({ units: 0 }, key)), 'invalid-input', /units/);
    assert.is(error.effect, 'none');
    await rejects(during((cluster.client as Client).call('stock/tea', 'recieve', {}, key)), 'unknown-operation');
    assert.is(gate.commits.length, 0, 'nothing of it is written');
    assert.is(await during(tea.receive({ units: 1 }, key)), 11);
  }));

test('a key is a string: null, numbers and what is no key are refused before anything is sent', () =>
  withTallies(shop, async ({ cluster, during }) => {
    const tea = cluster.entity(Stock, 'tea');
    for (const idempotencyKey of [null, 7, true, {}, '', '\ud800'])
      await rejects(
        during(tea.receive({ units: 1 }, { idempotencyKey: idempotencyKey as never })),
        'invalid-input',
        /An idempotency key must be/,
      );
    assert.is((await during(tea.look())).free, 10);
  }));

test('the order of an input’s properties, and those that are undefined, are no part of a request', () => {
  const print = (input: unknown, more: object = {}) =>
    fingerprintOf({
      kind: 'operation',
      operation: 'receive',
      payload: input === undefined ? new Uint8Array(0) : encode(input),
      hold: '',
      wantsAnswer: true,
      ...more,
    });
  const one = print({ units: 1, deep: [{ a: 1, b: new Uint8Array([1]) }], note: undefined });
  assert.equal(print({ deep: [{ b: new Uint8Array([1]), a: 1 }], units: 1 }), one);
  const others = [
    print({ units: 1, deep: [{ a: 1, b: new Uint8Array([2]) }] }),
    print({ units: 1, deep: [{ a: 2, b: new Uint8Array([1]) }] }),
    print([1]),
    print(1),
    print('1'),
    print(null),
    print(undefined),
    print({ units: 1 }, { operation: 'drop' }),
    print({ units: 1 }, { kind: 'confirm' }),
    print({ units: 1 }, { hold: '#a' }),
    print({ units: 1 }),
    one,
  ];
  assert.is(new Set(others.map((bytes) => Buffer.from(bytes).toString('hex'))).size, others.length);
  const broken = {
    kind: 'operation',
    operation: 'a',
    payload: new Uint8Array([0xc1]),
    hold: '',
    wantsAnswer: true,
  } as const;
  assert.equal(fingerprintOf(broken), fingerprintOf(broken), 'also what does not decode has one');
  assert.throws(() => decode(broken.payload));
});

test('P10: a key of a second is forgotten when its call’s copies are out of date, not minutes later', () =>
  withTallies(shop, async ({ cluster, hand, during }) => {
    const tea = cluster.entity(Stock, 'tea');
    const short = { idempotencyKey: 'short', keyLifeMs: 1_000 };
    assert.is(await during(tea.receive({ units: 1 }, short)), 11);
    await hand.advance(1_000);
    assert.is(await during(tea.receive({ units: 1 }, short)), 11, 'for at least its life');
    await hand.advance(defaultLimits.deadlineMs + defaultLimits.skewMaxMs);
    assert.is(await during(tea.receive({ units: 1 }, short)), 12);
    assert.is(await during(tea.receive({ units: 1 }, { ...short, keyLifeMs: 3_600_000 })), 12);
  }));

test.run();
