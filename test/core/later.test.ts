/** Later answers in turns: taken, kept, answered once, ended. */
import * as v from 'valibot';
import { keptAnswer } from '../../core/activity.ts';
import { answers, behaviour, type CommandTurn, type Turn } from '../../core/behaviour.ts';
import { entity } from '../../core/entity.ts';
import { isSkerryError } from '../../core/errors.ts';
import type { Later } from '../../core/later.ts';
import { command, unchecked } from '../../core/operation.ts';
import type { TurnResult } from '../../core/turn.ts';
import { dueTurns } from '../../core/turn-parts.ts';
import { decode, encode } from '../../runtime/wire/codec.ts';
import { Bench, committed, contentOf, inputOf, rowOf } from '../support/bench.ts';
import { assert, suite } from '../support/suite.ts';

const test = suite('later');

type State = { callers: Later<number>[]; heard: unknown[] };
const Desk = entity('desk', {
  initial: (): State => ({ callers: [], heard: [] }),
  operations: {
    ask: command(unchecked<string>(), v.number()),
    run: command(unchecked<string>(), unchecked<unknown>()),
    ring: command(),
  },
});
type DeskTurn = Turn<typeof Desk>;

const scripts: Record<string, (turn: DeskTurn) => unknown> = {};
const asks: Record<string, (turn: CommandTurn<typeof Desk, number>) => number | Later<number>> = {
  keep(turn) {
    const later = turn.later();
    turn.state.callers.push(later);
    return later;
  },
};
const desk = behaviour(
  Desk,
  {
    ask: (turn, how) => asks[how]?.(turn) ?? 0,
    run: (turn, name) => scripts[name]?.(turn),
    ring: (turn) => void scripts.ring?.(turn),
  },
  {
    historyMs: 1_000,
    horizonMs: 5_000,
    answers: [answers(Desk, Desk, { ask: (turn, answer) => void turn.state.heard.push(answer) })],
  },
);
const stateOf = (bench: Bench) => bench.record.state.value as State;
const open = (bench: Bench) => [...bench.record.later.values()];
const heardBy = (bench: Bench) => bench.record.activities.get('@client')?.inbound;
const answerText = (bench: Bench, seq: number) => {
  const kept = keptAnswer(heardBy(bench), seq);
  return kept === undefined ? undefined : (decode(kept.bytes) as unknown[]);
};
/** Another client: the one that waits has not moved its floor. */
const does = (bench: Bench, script: string) => bench.send('@other', contentOf('run', script));
const codeOf = (result: TurnResult) => {
  const [status, code] = rowOf(result);
  return status === 'failed' ? code : status;
};
scripts.answer = (turn) => turn.answer(turn.state.callers[0] as Later<number>, 7);
scripts.refuse = (turn) => turn.refuse(turn.state.callers[0] as Later<number>, 'no', { why: 1 });

test('LA2: a command that is put off commits without an answer, and the call stays open until its deadline', () => {
  const one = new Bench(desk);
  const result = committed(one.ask('ask', 'keep'));
  assert.is(result.putOff?.id, stateOf(one).callers[0]?.id);
  assert.is(heardBy(one)?.through, 1);
  assert.equal(heardBy(one)?.answers, []);
  const [later] = open(one);
  assert.equal(
    [later?.partner, later?.operation, later?.session, later?.seq, later?.since, later?.until],
    ['@client', 'ask', 1, 1, 1_000, 2_000],
  );
  assert.equal(stateOf(one).callers, [{ at: 'desk/one', id: later?.id, until: 2_000 }]);
});

test('LA1: a later turn answers it once: the answer is kept with that commit', () => {
  const one = new Bench(desk);
  one.ask('ask', 'keep');
  const result = committed(does(one, 'answer'));
  assert.equal(
    result.answered?.map(({ later }) => later.seq),
    [1],
  );
  assert.equal(answerText(one, 1), ['done', 7]);
  assert.is(one.record.changes.records.get('p@client'), 'activity');
  assert.equal(open(one), []);
  assert.is(codeOf(does(one, 'answer')), 'invalid-input', 'a second answer');
  assert.is(codeOf(does(one, 'refuse')), 'invalid-input');
  assert.equal(answerText(one, 1), ['done', 7]);
});

test('LA1: a refusal is an answer, and the turn goes on', () => {
  const one = new Bench(desk);
  one.ask('ask', 'keep');
  scripts.refuseAndCount = (turn) => {
    scripts.refuse?.(turn);
    turn.state.heard.push('went on');
  };
  does(one, 'refuseAndCount');
  assert.equal(answerText(one, 1), ['refused', 'no', { why: 1 }]);
  assert.equal(stateOf(one).heard, ['went on']);
});

test('LA2: taken and not returned, or returned and not taken, the turn fails, says so, and leaves nothing', () => {
  const one = new Bench(desk);
  one.ask('ask', 'keep');
  const before = one.picture;
  asks.forget = (turn) => {
    turn.state.callers.push(turn.later());
    return 3;
  };
  asks.other = (turn) => turn.state.callers[0] as Later<number>;
  asks.both = (turn) => {
    turn.later();
    return turn.state.callers[0] as Later<number>;
  };
  for (const [how, text] of [
    ['forget', /called turn\.later\(\) and did not return/],
    ['other', /did not take/],
    ['both', /did not take/],
  ] as const) {
    const [status, code, message] = rowOf(one.ask('ask', how));
    assert.equal([status, code], ['failed', 'invalid-definition']);
    assert.match(String(message), text);
  }
  assert.equal(one.picture, before);
  assert.is(open(one).length, 1);
});

test('T1: a turn that throws or is refused neither puts off nor answers', () => {
  const one = new Bench(desk);
  asks.throws = (turn) => {
    turn.later();
    throw new Error('no');
  };
  asks.refuses = (turn) => {
    turn.later();
    return turn.refuse('no');
  };
  assert.is(codeOf(one.ask('ask', 'throws')), 'failed');
  assert.is(codeOf(one.ask('ask', 'refuses')), 'refused');
  assert.equal(open(one), []);
  one.ask('ask', 'keep');
  scripts.answerAndThrow = (turn) => {
    scripts.answer?.(turn);
    throw new Error('no');
  };
  scripts.answerAndRefuse = (turn) => {
    scripts.answer?.(turn);
    return turn.refuse('no');
  };
  assert.is(codeOf(does(one, 'answerAndThrow')), 'failed');
  assert.is(codeOf(does(one, 'answerAndRefuse')), 'refused');
  assert.is(open(one).length, 1);
  assert.is(answerText(one, 3), undefined);
  does(one, 'answer');
  assert.equal(answerText(one, 3), ['done', 7], 'it was open all the while');
});

test('an output is checked by the schema of the command that is answered', () => {
  const one = new Bench(desk);
  one.ask('ask', 'keep');
  scripts.wrong = (turn) => turn.answer(turn.state.callers[0] as Later<unknown> as Later<string>, 'seven');
  const [status, code, text] = rowOf(does(one, 'wrong'));
  assert.equal([status, code], ['failed', 'failed']);
  assert.match(String(text), /'ask' returned an output that its schema rejects/);
  assert.is(open(one).length, 1);
});

test('invented, foreign, own and forged values throw a clear error and lose nothing', () => {
  const one = new Bench(desk);
  one.ask('ask', 'keep');
  const given = stateOf(one).callers[0] as Later<number>;
  const answer = (later: unknown) => {
    scripts.given = (turn) => turn.answer(later as Later<number>, 1);
    return does(one, 'given');
  };
  for (const wrong of [
    undefined,
    7,
    {},
    { ...given, id: 'x' },
    { ...given, id: 'later.x' },
    { ...given, until: given.until + 1 },
    { ...given, until: Number.NaN },
    { ...given, id: `later.${'x'.repeat(700)}` },
    { entity: 'desk/one', operation: 'ask', id: 'x' },
  ])
    assert.is(codeOf(answer(wrong)), 'invalid-input', JSON.stringify(wrong));
  assert.is(codeOf(answer({ ...given, at: 'nowhere' })), 'invalid-address');
  asks.own = (turn) => {
    const later = turn.later();
    turn.answer(later, 1);
    return later;
  };
  assert.is(codeOf(one.ask('ask', 'own')), 'invalid-input');
  assert.is(codeOf(answer(given)), 'done');
});

test('LA3: after the deadline an answer does nothing; the open call goes by its date, with all others of the time', () => {
  const one = new Bench(desk);
  one.ask('ask', 'keep');
  one.ask('ask', 'keep');
  const [due] = dueTurns(one.record, 2_000);
  assert.equal(due?.request, { kind: 'due', part: 'later', id: open(one)[0]?.id });
  one.now = 2_000;
  assert.is(codeOf(does(one, 'answer')), 'done', 'its client has given up');
  assert.is(answerText(one, 1), undefined);
  assert.is(open(one).length, 2);
  assert.ok(due !== undefined && committed(one.run(due.request)));
  assert.equal(open(one), []);
  assert.is(codeOf(does(one, 'answer')), 'done');
  assert.is(one.run({ kind: 'due', part: 'later', id: 'gone' }).kind, 'void');
});

test('an entity that asked hears the answer as any other; if it has no handler, nothing is sent', () => {
  const one = new Bench(desk);
  const asked = (wantsAnswer: boolean) => one.send('desk/two', contentOf('ask', 'keep', { wantsAnswer }));
  asked(true);
  assert.equal(one.outbox('desk/two'), [], 'nothing yet');
  assert.is(open(one)[0]?.until, 6_000, 'for its horizon');
  const { sentTo } = committed(does(one, 'answer'));
  assert.is(sentTo.size, 1);
  const [content] = one.outbox('desk/two');
  assert.equal([content?.kind, content?.operation, inputOf(content)], ['answer', 'ask', ['done', 7]]);
  asked(false);
  scripts.last = (turn) => turn.answer(turn.state.callers.at(-1) as Later<number>, 8);
  assert.is(committed(does(one, 'last')).sentTo.size, 0);
  assert.is(codeOf(does(one, 'last')), 'invalid-input');
  assert.is(one.outbox('desk/two').length, 1);
});

test('LA3: an entity hears `failed` with the code deadline when its time is over', () => {
  const one = new Bench(desk);
  one.send('desk/two', contentOf('ask', 'keep', { wantsAnswer: true }));
  one.now = 6_000;
  const [due] = dueTurns(one.record, one.now);
  if (due !== undefined) committed(one.run(due.request));
  const [status, code, text] = inputOf(one.outbox('desk/two')[0]) as string[];
  assert.equal([status, code], ['failed', 'deadline']);
  assert.match(String(text), /desk\/one accepted ask and did not answer it in time/);
});

test('a command that the entity asks of itself is answered to itself; a named timer hears nothing', () => {
  const one = new Bench(desk);
  scripts.askMyself = (turn) => void turn.to(Desk, 'one').ask('keep');
  scripts.setTimer = (turn) => void turn.timer('t', { afterMs: 1 }).ask('keep');
  const fire = () => {
    for (const { request } of dueTurns(one.record, one.now)) committed(one.run(request));
  };
  does(one, 'askMyself');
  fire();
  does(one, 'answer');
  fire();
  assert.equal(stateOf(one).heard, [{ status: 'done', output: 7, hold: undefined }]);
  does(one, 'setTimer');
  one.now += 1;
  fire();
  assert.is(stateOf(one).callers.length, 2);
  committed(does(one, 'last'));
  fire();
  assert.is(stateOf(one).heard.length, 1);
  assert.equal(open(one), []);
});

test('another entity sends the answer to the one that accepted, which gives it once; a second one is a dead letter', () => {
  const one = new Bench(desk);
  const two = new Bench(desk, { key: 'two' });
  one.ask('ask', 'keep');
  const later = stateOf(one).callers[0] as Later<number>;
  scripts.foreign = (turn) => turn.answer(later, 9);
  does(two, 'foreign');
  const [content] = two.outbox('desk/one');
  assert.equal([content?.kind, content?.hold], ['later-answer', later.id]);
  if (content === undefined) return;
  const result = committed(one.send('desk/two', content));
  assert.is(result.answered?.length, 1);
  assert.equal(answerText(one, 1), ['done', 9]);
  committed(one.send('desk/two', content));
  const [letter] = [...one.record.dead.values()];
  assert.match(letter?.reason ?? '', /already answered/);
  assert.equal([letter?.side, letter?.partner, letter?.content], ['receiver', 'desk/two', content]);
  assert.equal(answerText(one, 1), ['done', 9]);
  const retry = encode(letter?.id);
  assert.is(codeOf(one.send('@tool', { ...contentOf(''), kind: 'dead-retry', payload: retry })), 'invalid-input');
  assert.is(one.record.dead.size, 1, 'its retry fails, and it stays');
});

test('another entity’s answer of a wrong type or form is a dead letter, and the call stays open', () => {
  const one = new Bench(desk);
  one.ask('ask', 'keep');
  const { id, until } = stateOf(one).callers[0] as Later<number>;
  const send = (payload: unknown, hold = id) =>
    committed(one.send('desk/two', { ...contentOf('', payload), kind: 'later-answer', hold }));
  send([until, 'done', 'nine', undefined]);
  send([until, 'accepted', 9]);
  send('nonsense');
  send([until, 'refused', 7]);
  assert.is(one.record.dead.size, 4);
  assert.is(open(one).length, 1);
  send([until, 'refused', 'no']);
  assert.equal(answerText(one, 1), ['refused', 'no', undefined]);
});

test('a dead letter whose command is put off when it is retried: nobody hears, and the letter is gone', () => {
  const one = new Bench(desk);
  const request = one.request('desk/two', contentOf('ask', 'keep', { wantsAnswer: true }));
  committed(one.bury(request, new Error('no')));
  assert.is(one.outbox('desk/two').length, 1, 'told that it failed');
  const [letter] = [...one.record.dead.values()];
  const payload = encode(letter?.id);
  committed(one.send('@tool', { ...contentOf('ask'), kind: 'dead-retry', payload }));
  assert.is(one.record.dead.size, 0);
  const [later] = open(one);
  assert.equal([later?.partner, later?.seq, later?.wantsAnswer], ['desk/two', 0, false]);
  committed(does(one, 'answer'));
  assert.is(one.outbox('desk/two').length, 1);
});

test('P12: an entity with timerCountMax open ones answers overloaded, and what it has is untouched', () => {
  const one = new Bench(desk, { limits: { timerCountMax: 2 } });
  one.ask('ask', 'keep');
  one.ask('ask', 'keep');
  const result = one.ask('ask', 'keep');
  assert.ok(result.kind === 'threw' && isSkerryError(result.error, 'overloaded'));
  assert.is(open(one).length, 2);
  scripts.swap = (turn) => {
    turn.answer(turn.state.callers[0] as Later<number>, 1);
  };
  committed(does(one, 'swap'));
  committed(one.ask('ask', 'keep'));
});

test('an answer whose client has begun a new session is not kept, and nothing fails', () => {
  const one = new Bench(desk);
  one.ask('ask', 'keep');
  committed(one.run(one.request('@client', contentOf('run', 'nothing'), { session: 2, seq: 1, floor: 1 })));
  const result = committed(one.send('@other', contentOf('run', 'answer')));
  assert.equal(result.answered, []);
  assert.equal(open(one), []);
  assert.is(answerText(one, 1)?.[1], undefined, 'the first of its new session');
});

test('under an idempotency key it is open for the life of the key, and the answer keeps the request', () => {
  const one = new Bench(desk);
  const arrival = { keepMs: 60_000 };
  committed(one.run(one.request('#.k', contentOf('ask', 'keep'), arrival)));
  assert.is(open(one)[0]?.until, 61_000);
  assert.is(open(one)[0]?.request.length, 16);
  one.now = 50_000;
  committed(does(one, 'answer'));
  const [kept] = one.record.activities.get('#.k')?.inbound?.answers ?? [];
  assert.equal([kept?.until, kept?.request?.length], [61_000, 16]);
});

test('the turn’s history says later, and that of its end unanswered', () => {
  const one = new Bench(desk);
  one.ask('ask', 'keep');
  one.now = 2_000;
  const [due] = dueTurns(one.record, one.now);
  if (due !== undefined) one.run(due.request);
  const items = [...one.record.changes.records].flatMap(([, row]) =>
    row !== null && typeof row === 'object' && row.kind === 'history' ? [row.part] : [],
  );
  assert.equal(
    items.map(({ kind, operation, status }) => `${kind} ${operation} ${status}`),
    ['operation ask later', 'unanswered ask done'],
  );
});

test.run();
