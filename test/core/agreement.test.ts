/**
 * What a hub and its parties make of an agreement: decided once, in one commit, with nobody left out (P13).
 *
 * Longer than 400 lines because each way to a decision, and each way out of it, is a case on one bench.
 */
import { checkHolds } from '../../core/agreed.ts';
import { verdictOf } from '../../core/agreement-part.ts';
import {
  agreed,
  agreement,
  behaviour,
  command,
  defaultLimits,
  type ErrorCode,
  entity,
  isSkerryError,
  many,
  one,
  some,
  tentative,
} from '../../core/index.ts';
import { bury } from '../../core/turn.ts';
import { Bench, committed, inputOf, rowOf } from '../support/bench.ts';
import { contentOf, HubBench, line, Order, Stock } from '../support/hub-bench.ts';
import { assert, suite } from '../support/suite.ts';

const test = suite('agreements');

const confirmed = (goods: readonly object[]) => ({ decision: 'confirm', of: 'all', parties: { goods } });
const accepted = (key: string) => ({ key, status: 'accepted', output: `shelf ${key}` });
const throwsCode = (make: () => unknown, code: ErrorCode) =>
  assert.throws(make, (error: unknown) => isSkerryError(error, code));
/** What a hub that asks so hears as a client. */
const ask = (it: HubBench, ...given: Parameters<Bench['ask']>) => rowOf(it.hub.ask(...given));

test('AG3: the decision, the words and `decided` are the commit of the answer that settles it', () => {
  const it = new HubBench();
  committed(it.hub.ask('all', [line('a'), line('b')]));
  assert.equal([it.waiting('a'), it.waiting('b')], [['operation'], ['operation']]);
  it.settle('a');
  assert.equal([it.heard, it.part?.decision], [[], 'none']);
  committed(it.ask('b'));
  const before = it.hub.record.version;
  committed(it.answer('b'));
  assert.is(it.hub.record.version, before + 1);
  assert.equal(it.heard, [confirmed([accepted('a'), accepted('b')])]);
  assert.equal([it.waiting('a'), it.waiting('b'), it.part?.decision], [['confirm'], ['confirm'], 'confirm']);
});

test('AG5: one that refuses cancels it for all, also for those that have not answered yet', () => {
  const it = new HubBench();
  committed(it.hub.ask('all', [line('a', 11), line('b'), line('c')]));
  it.settle('b', 'a');
  const [outcome] = it.heard as { because: string; parties: { goods: unknown } }[];
  assert.is(outcome?.because, 'declined');
  assert.equal(outcome?.parties.goods, [
    { key: 'a', status: 'refused', reason: 'too few', detail: undefined },
    accepted('b'),
    { key: 'c', status: 'open' },
  ]);
  assert.equal([it.waiting('a'), it.waiting('b'), it.waiting('c')], [[], ['cancel'], ['operation', 'cancel']]);
  // Its cancel follows what asks it, in the same stream.
  committed(it.ask('c'));
  assert.equal(it.stock('c'), [9, 1, 0]);
  committed(it.word('c'));
  committed(it.word('b'));
  committed(it.answer('c'));
  assert.equal([it.stock('b'), it.stock('c'), it.heard.length], [[10, 0, 0], [10, 0, 0], 1]);
});

test('AG8: it is settled by acknowledgements alone, and no party sends a message that it went well', () => {
  const it = new HubBench();
  committed(it.hub.ask('all', [line('a'), line('b')]));
  it.settle('a', 'b');
  committed(it.word('a'));
  assert.equal(it.party('a').outbox('order/one'), []);
  assert.equal([it.stock('a'), it.part?.due], [[9, 0, 1], 0]);
  committed(it.word('b'));
  assert.is(it.part?.due, it.now);
  assert.is(it.heard.length, 1);
  committed(it.due());
  assert.is(it.heard[1], 'settled all');
  assert.equal([it.part, it.hub.record.agreements.size], [undefined, 0]);
});

test('P13: of k of n the first are confirmed, the others cancelled in the same commit, also one that is still open', () => {
  const it = new HubBench();
  committed(it.hub.ask('pick', { goods: [line('g')], spare: [line('a'), line('b'), line('c'), line('d')] }));
  it.settle('c', 'b', 'a');
  assert.is(it.part?.decision, 'none');
  it.settle('g');
  const [outcome] = it.heard as { decision: string; parties: { spare: { status: string }[] } }[];
  assert.is(outcome?.decision, 'confirm');
  assert.equal(
    outcome?.parties.spare.map(({ status }) => status),
    ['accepted', 'accepted', 'cancelled', 'open'],
  );
  assert.equal(
    ['g', 'a', 'b', 'c', 'd'].map((key) => it.waiting(key).at(-1)),
    ['confirm', 'confirm', 'confirm', 'cancel', 'cancel'],
  );
});

test('of k of n it is cancelled when too few are left', () => {
  const it = new HubBench();
  committed(it.hub.ask('pick', { goods: [line('g')], spare: [line('a', 11), line('b', 11), line('c')] }));
  it.settle('a');
  assert.is(it.part?.decision, 'none');
  it.settle('b');
  assert.is(it.part?.decision, 'cancel');
});

test('a rule decides by the tally; one that returns another thing is an error of its definition', () => {
  const rule = (verdict: string) =>
    agreement('r', { parties: { all: some(Stock, () => verdict as 'wait').reserve }, decideWithinMs: 1 });
  const it = new HubBench();
  committed(it.hub.ask('all', [line('a')]));
  const part = { ...(it.part as NonNullable<typeof it.part>), parties: [] };
  assert.equal(verdictOf(rule('cancel'), part, 0), { verdict: 'cancel', because: 'rule' });
  assert.is(verdictOf(rule('wait'), part, 0).verdict, 'wait');
  assert.is(verdictOf(rule('confirm'), part, 0).verdict, 'confirm');
  throwsCode(() => verdictOf(rule('perhaps'), part, 0), 'invalid-definition');
});

test('AG4: the deadline cancels it, in a turn of its own; an answer after that changes nothing', () => {
  const it = new HubBench();
  committed(it.hub.ask('all', [line('a'), line('b')]));
  it.settle('a');
  committed(it.ask('b'));
  assert.is(it.due().kind, 'void');
  it.now += 10_000;
  committed(it.due());
  const [outcome] = it.heard as { because: string }[];
  assert.equal([outcome?.because, it.part?.decision], ['deadline', 'cancel']);
  committed(it.answer('b'));
  assert.equal([it.heard.length, it.part?.decision], [1, 'cancel']);
  assert.equal([it.waiting('a'), it.waiting('b')], [['cancel'], ['cancel']]);
});

test('the last answer does not confirm past the deadline, though its timer has not run yet', () => {
  const it = new HubBench();
  committed(it.hub.ask('all', [line('a')]));
  committed(it.ask('a'));
  it.now += 10_000;
  committed(it.answer('a'));
  assert.equal([it.part?.decision, it.part?.because], ['cancel', 'deadline']);
});

test('AG2: it decides to confirm only while each hold has more time left than the word may take', () => {
  for (const [leftMs, decision] of [
    [15_000, 'confirm'],
    [14_999, 'cancel'],
  ] as const) {
    const it = new HubBench({ holdMs: 20_000 });
    committed(it.hub.ask('all', [line('a'), line('b')]));
    it.settle('a');
    it.now += 20_000 - leftMs;
    it.settle('b');
    assert.is(it.part?.decision, decision, String(leftMs));
    if (decision === 'cancel') assert.is(it.part?.because, 'lapsing');
  }
});

test('AG2: a hold of a worker that does not say until when it lives counts from when it was asked, and it must answer', () => {
  const it = new HubBench();
  committed(it.hub.ask('all', [line('a')]));
  committed(it.ask('a'));
  const [answer] = it.party('a').outbox('order/one');
  const { encode } = it.hub.environment;
  committed(it.hub.send('stock/a', { ...(answer as NonNullable<typeof answer>), payload: encode(['accepted', 'x']) }));
  assert.equal([it.part?.parties[0]?.until, it.part?.decision], [1_060_000, 'confirm']);
  committed(it.word('a'));
  assert.is(it.part?.due, 0);
  committed(it.hub.send('stock/a', { ...(answer as NonNullable<typeof answer>), payload: encode(['confirmed']) }));
  assert.is(it.heard[1], 'settled all');
});

test('AG7: a confirm that finds its hold ended is not acknowledged before its hub has the news', () => {
  const it = new HubBench();
  committed(it.hub.ask('all', [line('a'), line('b')]));
  it.settle('a', 'b');
  committed(it.word('b'));
  it.now += 60_000;
  const [hold] = it.party('a').record.holds.keys();
  committed(it.party('a').lapse(hold ?? ''));
  assert.equal(rowOf(it.word('a')), ['lapsed']);
  // Nothing of it is heard: the hub would take the agreement for settled.
  assert.equal([it.waiting('a'), it.part?.due], [['confirm'], 0]);
  committed(it.answer('a'));
  assert.is(it.heard[1], 'broken goods a lapsed');
  // What it had answered is told with it: the hub need not keep that.
  assert.is((it.hub.record.state.value as { lost: string }).lost, 'shelf a');
  it.acknowledge('a');
  assert.equal([it.waiting('a'), it.part?.due, it.heard.length], [[], 0, 2]);
});

test('AG6: it is broken until the application resolves it, and settled only then', () => {
  const it = new HubBench();
  committed(it.hub.ask('all', [line('a')]));
  it.settle('a');
  const [hold] = it.party('a').record.holds.keys();
  it.now += 60_000;
  committed(it.party('a').lapse(hold ?? ''));
  committed(it.word('a'));
  committed(it.answer('a'));
  assert.equal(rowOf(it.hub.ask('cancel')).slice(0, 2), ['failed', 'failed']);
  committed(it.hub.ask('resolve'));
  assert.equal(it.heard.slice(1), ['broken goods a lapsed', 'settled all']);
  assert.is(it.part, undefined);
  // Again does nothing: a `broken` that was a dead letter may be retried after another one has resolved it.
  committed(it.hub.ask('resolve'));
  assert.equal(rowOf(it.hub.ask('cancel')).slice(0, 2), ['failed', 'not-found']);
});

test('AG6: a confirm that keeps throwing at its party, and one that is a dead letter of the hub, break it, too', () => {
  const it = new HubBench();
  committed(it.hub.ask('all', [line('a')]));
  it.settle('a');
  const [confirm] = it.hub.outbox('stock/a');
  const party = it.party('a');
  const request = party.request('order/one', confirm as NonNullable<typeof confirm>);
  committed(party.bury(request, new Error('stuck')));
  assert.equal(rowOf(it.hub.send('stock/a', party.outbox('order/one')[0] as never)), ['done']);
  assert.is(it.heard[1], 'broken goods a failed');

  const other = new HubBench();
  committed(other.hub.ask('all', [line('a')]));
  other.settle('a');
  const { outbound } = other.hub.record.activities.get('stock/a') ?? {};
  committed(
    other.hub.ask('confirm', undefined, {
      ...contentOf('reserve', ['stock/a', outbound?.session, outbound?.unacked[0]?.seq], { kind: 'outbox-drop' }),
    }),
  );
  assert.is(other.part?.due, other.now);
  committed(other.due());
  assert.is(other.heard[1], 'broken goods a undelivered');
});

test('the application cancels until it is decided, also in the turn that opens it', () => {
  const it = new HubBench();
  committed(it.hub.ask('all', [line('a')]));
  committed(it.hub.ask('cancel'));
  assert.is((it.heard[0] as { because: string }).because, 'cancelled');
  committed(it.hub.ask('cancel'));
  assert.is(it.heard.length, 1);
  assert.equal(it.waiting('a'), ['operation', 'cancel']);
  const other = new HubBench();
  committed(other.hub.ask('both', [line('a')]));
  assert.equal([other.waiting('a'), other.part?.decision], [['operation', 'cancel'], 'cancel']);
  const late = new HubBench();
  committed(late.hub.ask('all', [line('a')]));
  late.settle('a');
  assert.equal(rowOf(late.hub.ask('cancel')).slice(0, 2), ['failed', 'failed']);
  assert.equal(late.waiting('a'), ['confirm']);
});

test('P1: `decided` that throws leaves nothing of the decision; the answer is tried again', () => {
  const it = new HubBench();
  committed(it.hub.ask('all', [line('a')]));
  committed(it.hub.ask('fail', 'decided'));
  committed(it.ask('a'));
  const before = it.hub.picture;
  const [content] = it.party('a').outbox('order/one');
  assert.is(it.hub.send('stock/a', content as NonNullable<typeof content>).kind, 'threw');
  assert.equal(it.hub.picture, before);
  assert.is(it.part?.decision, 'none');
  committed(it.hub.ask('fail', 'refuses'));
  assert.is(it.hub.send('stock/a', content as NonNullable<typeof content>).kind, 'threw');
  committed(it.hub.ask('fail', ''));
  committed(it.hub.send('stock/a', content as NonNullable<typeof content>));
  assert.is(it.part?.decision, 'confirm');
});

test('P7: an agreement whose `decided` keeps throwing is cancelled without it, and a dead letter tells it later', () => {
  const it = new HubBench();
  committed(it.hub.ask('all', [line('a')]));
  committed(it.hub.ask('fail', 'decided'));
  it.now += 10_000;
  assert.is(it.due().kind, 'threw');
  const id = it.part?.id ?? '';
  committed(it.hub.bury({ kind: 'due', part: 'agreements', id }, new Error('decided fails')));
  assert.is(it.part?.due, it.now + 1);
  it.now += 1;
  committed(it.due());
  assert.equal([it.part?.decision, it.heard, it.waiting('a')], ['cancel', [], ['operation', 'cancel']]);
  committed(it.ask('a'));
  committed(it.word('a'));
  // Everybody has heard but the application: it stays for the letter.
  assert.equal([it.part?.due, it.part?.isUntold], [0, true]);
  const [letter] = it.hub.record.dead.values();
  assert.equal([letter?.content.operation, letter?.side], ['all', 'receiver']);
  committed(it.hub.ask('fail', ''));
  committed(it.hub.ask('all', letter?.id, { kind: 'dead-retry' }));
  assert.is((it.heard[0] as { because: string }).because, 'deadline');
  assert.equal([it.heard[1], it.part, it.hub.record.dead.size], ['settled all', undefined, 0]);
});

test('P7: bad news whose turn keeps throwing shows as broken, and its dead letter tells it later', () => {
  const it = new HubBench();
  committed(it.hub.ask('all', [line('a')]));
  it.settle('a');
  committed(it.hub.ask('fail', 'broken'));
  const [hold] = it.party('a').record.holds.keys();
  it.now += 60_000;
  committed(it.party('a').lapse(hold ?? ''));
  committed(it.word('a'));
  const request = it.hub.request('stock/a', it.party('a').outbox('order/one')[0] as never);
  assert.is(it.hub.run(request).kind, 'threw');
  const { record, behaviour: code, environment } = it.hub;
  committed(bury(record, code, request, { error: new Error('broken fails'), attempts: 16 }, environment));
  assert.equal([it.part?.parties[0]?.breach, it.part?.parties[0]?.isTold, it.heard.length], ['lapsed', false, 1]);
  committed(it.hub.ask('fail', ''));
  const [letter] = it.hub.record.dead.values();
  committed(it.hub.ask('reserve', letter?.id, { kind: 'dead-retry' }));
  assert.equal([it.heard[1], it.part?.parties[0]?.isTold], ['broken goods a lapsed', true]);
});

test('bad input is a clear error, and nothing is asked', () => {
  const it = new HubBench();
  const cases: [unknown[], string][] = [
    [ask(it, 'all', []), 'without a party'],
    [ask(it, 'all', [line('a'), line('a', 2)]), "asks stock/a twice for 'reserve'"],
    [ask(it, 'pick', { spare: [line('a')] }), "needs 2 of the parties 'spare'"],
    [ask(it, 'lone', {}), "takes { key, input } as 'payer'"],
    [ask(it, 'lone', { payer: line('a'), extra: 1 }), "has no party 'extra'"],
    [ask(it, 'all', { key: 'a' }), "takes a list of parties as 'goods'"],
    [ask(it, 'stray'), "'stray' is not among the agreements"],
    [ask(it, 'cancel', { agreement: 'all', id: 'x' }), "has no agreement 'all'"],
    [ask(it, 'cancel', { agreement: 'all' }), 'the value that turn.agree() returned'],
    [
      ask(
        it,
        'all',
        Array.from({ length: 257 }, (_, index) => line(`s${index}`)),
      ),
      'agreementPartyCountMax is 256',
    ],
  ];
  for (const [row, text] of cases) {
    assert.is(row[0], 'failed', text);
    assert.ok(String(row[2]).includes(text), `${row[2]} has not '${text}'`);
  }
  assert.equal([it.hub.record.agreements.size, it.hub.record.outboxCount], [0, 0]);
});

test('a hub is no party of its own agreement; its part is ordinary code', () => {
  const Peer = entity('peer', { initial: () => ({}), operations: { take: tentative(), go: command() } });
  const Two = agreement('two', { parties: { one: one(Peer).take }, decideWithinMs: 1_000 });
  const take = { tentative: () => undefined, confirm: () => undefined, cancel: () => undefined };
  const nested = {
    ...take,
    tentative: (turn: { agree: (...given: unknown[]) => unknown }) => void turn.agree(Two, { one: { key: 'x' } }),
  };
  const make = (handlers: typeof take) =>
    behaviour(
      Peer,
      { take: handlers, go: (turn) => void turn.agree(Two, { one: { key: turn.key } }) },
      { agreements: [agreed(Peer, Two, { decided() {}, broken() {} })] },
    );
  const it = new Bench(make(take));
  assert.match(String(rowOf(it.ask('go'))[2]), /its own hub peer\/one as a party/);
  const inner = new Bench(make(nested as never));
  assert.match(String(rowOf(inner.ask('take', undefined, { hold: 'h' }))[2]), /A tentative operation of 'peer' opens/);
  assert.is(inner.record.holds.size, 0);
});

test('AG1: a hold of an agreement is settled by its hub alone, and an answer counts for its own party only', () => {
  const it = new HubBench();
  committed(it.hub.ask('all', [line('a'), line('b')]));
  it.settle('a');
  const [hold] = it.party('a').record.holds.keys();
  const id = hold ?? '';
  const confirm = contentOf('reserve', undefined, { kind: 'confirm', hold: id });
  for (const partner of ['@client', 'order/two', 'x/der/one'])
    assert.equal(rowOf(it.party('a').send(partner, confirm)).slice(0, 2), ['failed', 'hold-unknown'], partner);
  assert.equal(it.stock('a'), [9, 1, 0]);
  assert.match(
    String(rowOf(it.hub.ask('confirmHold', { entity: 'stock/a', operation: 'reserve', id }))[2]),
    /is of an agreement/,
  );
  // Nor does another's answer count.
  const answer = contentOf('reserve', undefined, { kind: 'answer', hold: id.replace('&0', '&1') });
  committed(it.hub.send('stock/a', { ...answer, payload: it.hub.environment.encode(['accepted', '', 9e15]) }));
  assert.equal([it.part?.decision, it.part?.parties[1]?.status], ['none', 'open']);
});

test('a hold without end lapses never, and is stored as a date', () => {
  const it = new HubBench();
  committed(it.party('a').ask('keep', { units: 1 }, { hold: 'h' }));
  const hold = it.party('a').record.holds.get('h');
  assert.is(hold?.until, 8_640_000_000_000_000);
});

test('what too many outputs would take is bounded: the party whose output is too much is cancelled', () => {
  const it = new HubBench({ agreementBytesMax: 10 });
  committed(it.hub.ask('all', [line('a')]));
  it.settle('a');
  const [outcome] = it.heard as { because: string; parties: { goods: { code: string }[] } }[];
  assert.equal([outcome?.because, outcome?.parties.goods[0]?.code], ['declined', 'too-large']);
  assert.equal(it.waiting('a'), ['cancel']);
});

test('an agreement whose message was given up counts its party as declined, and cancels it at once', () => {
  const it = new HubBench();
  committed(it.hub.ask('all', [line('a'), line('b')]));
  it.settle('b');
  const { outbound } = it.hub.record.activities.get('stock/a') ?? {};
  const drop = contentOf('reserve', ['stock/a', outbound?.session, outbound?.unacked[0]?.seq], { kind: 'outbox-drop' });
  committed(it.hub.ask('reserve', undefined, drop));
  committed(it.due());
  const [outcome] = it.heard as { parties: { goods: { code: string }[] } }[];
  assert.is(outcome?.parties.goods[0]?.code, 'undelivered');
  assert.equal([it.waiting('a'), it.waiting('b')], [['cancel'], ['cancel']]);
  // Nobody would confirm or cancel what it holds: it is not asked again.
  const [letter] = it.hub.record.dead.values();
  const row = rowOf(it.hub.ask('reserve', letter?.id, { kind: 'dead-retry' }));
  assert.match(String(row[2]), /drop the letter/);
  assert.is(inputOf(letter?.content) !== undefined, true);
});

test('a definition that cannot work is refused where it is made, or where the limits are known', () => {
  const parties = { goods: many(Stock).reserve };
  throwsCode(() => agreement('two words', { parties, decideWithinMs: 1 }), 'invalid-definition');
  throwsCode(() => agreement('a', { parties: {}, decideWithinMs: 1 }), 'invalid-definition');
  throwsCode(() => agreement('a', { parties, decideWithinMs: 0 }), 'invalid-definition');
  throwsCode(() => agreement('a', { parties, decideWithinMs: 60_000 }), 'invalid-definition');
  throwsCode(() => agreement('a', { parties: { goods: {} as never }, decideWithinMs: 1 }), 'invalid-definition');
  throwsCode(() => some(Stock, 0), 'invalid-definition');
  const All = agreement('a', { parties, decideWithinMs: 35_001 });
  const nobody = () => undefined;
  const operations = { all: nobody, pick: nobody, lone: nobody, stray: nobody, cancel: nobody };
  const order = (options: object) =>
    behaviour(Order, { ...operations, both: nobody, resolve: nobody, fail: nobody, confirmHold: nobody }, options);
  const mine = agreed(Order, All, { decided() {}, broken() {} });
  throwsCode(() => agreed(Order, All, { decided() {} } as never), 'invalid-definition');
  throwsCode(() => order({ agreements: [mine, mine] }), 'invalid-definition');
  throwsCode(() => order({ agreements: [mine], durability: 'none' }), 'invalid-definition');
  throwsCode(() => order({ agreements: [{ ...mine, of: 'stock' }] }), 'invalid-definition');
  throwsCode(() => checkHolds(order({ agreements: [mine] }), defaultLimits), 'invalid-definition');
  checkHolds(order({ agreements: [mine] }), { ...defaultLimits, skewMaxMs: 9_999 });
});

test.run();
