/** Turns by themselves: the ways out of a turn, and what each of them leaves behind. */
import { behaviour, type Turn, type View } from '../../core/behaviour.ts';
import { entity } from '../../core/entity.ts';
import { isSkerryError } from '../../core/errors.ts';
import { keyPartner } from '../../core/message.ts';
import { command, query, type Schema, unchecked } from '../../core/operation.ts';
import { runQuery } from '../../core/perform.ts';
import { Refusal } from '../../core/request.ts';
import { decode, encode } from '../../runtime/wire/codec.ts';
import { Bench, committed, contentOf, inputOf, rowOf } from '../support/bench.ts';
import { assert, suite } from '../support/suite.ts';

const test = suite('turn');

const positive: Schema<number> = {
  '~standard': {
    version: 1,
    vendor: 'test',
    validate: (value) =>
      typeof value === 'number' && value > 0 ? { value } : { issues: [{ message: 'not positive', path: ['units'] }] },
  },
};

const Till = entity('till', {
  initial: () => ({ units: 0, log: [] as string[] }),
  operations: {
    put: command(positive, unchecked<number>()),
    run: command(unchecked<string>(), unchecked<unknown>()),
    units: query(unchecked<number>()),
    run2: query(unchecked<string>(), unchecked<unknown>()),
  },
  activities: { till: () => ({ seen: 0 }) },
});
type TillTurn = Turn<typeof Till>;

/** What `run` and `run2` do, by name: each test adds its own. */
const scripts: Record<string, (turn: TillTurn) => unknown> = {};
const views: Record<string, (view: View<typeof Till>) => unknown> = {};
const till = behaviour(Till, {
  put(turn, units) {
    turn.state.units += units;
    return turn.state.units;
  },
  run: (turn, name) => scripts[name]?.(turn),
  units: (view) => view.state.units,
  run2: (view, name) => views[name]?.(view),
});

const bench = (key = 'one') => new Bench(till, { key });
const failure = (code: string, text: RegExp) => (row: unknown[]) => {
  assert.equal(row.slice(0, 2), ['failed', code]);
  assert.match(String(row[2]), text);
};

test('T2: a command changes the state and answers', () => {
  const one = bench();
  assert.equal(rowOf(one.ask('put', 3)), ['done', 3]);
  assert.equal(rowOf(one.ask('put', 4)), ['done', 7]);
  assert.equal(one.record.state.value, { units: 7, log: [] });
});

test('R2: the version grows by one with each committed turn, refusals included, and with nothing else', () => {
  scripts.refuse = (turn) => turn.refuse('no');
  const one = bench();
  one.ask('put', 1);
  assert.is(one.record.version, 1);
  one.ask('run', 'refuse');
  assert.is(one.record.version, 2);
  scripts.throw = () => {
    throw new Error('bad');
  };
  assert.is(one.send('till/two', contentOf('run', 'throw')).kind, 'threw');
  assert.is(one.timer('absent').kind, 'void');
  assert.is(one.lapse('absent').kind, 'void');
  assert.is(one.settle('absent', { status: 'done', output: 1 }).kind, 'void');
  runQuery(
    one.record,
    till,
    till.instantiate('one'),
    { operation: 'units', payload: new Uint8Array(0) },
    one.environment,
  );
  assert.is(one.record.version, 2);
});

/** Everything that a turn can decide, and then a way out. */
function busy(turn: TillTurn): void {
  turn.state.units = 99;
  turn.state.log.push('busy');
  turn.to(Till, 'two').put(1);
  turn.to(Till, 'two').activity.seen += 1;
  turn.timer('tick', { afterMs: 5 }).put(1);
  turn.to(Till, 'three', { afterMs: 5 }).put(1);
  turn.cancelTimer('kept');
}

test('T1: a turn that throws leaves state, outbox, timers, holds, effects and activities untouched', () => {
  const one = bench();
  scripts.setUp = (turn) => {
    turn.state.log.push('before');
    turn.timer('kept', { afterMs: 1_000 }).put(1);
    turn.to(Till, 'two').activity.seen = 5;
  };
  scripts.busyThrow = (turn) => {
    busy(turn);
    throw new Error('after all');
  };
  one.send('till/two', contentOf('run', 'setUp'));
  const [before, changes] = [one.picture, [...one.record.changes.records.keys()]];
  const result = one.send('till/two', contentOf('run', 'busyThrow'));
  assert.is(result.kind, 'threw');
  assert.equal(one.picture, before);
  assert.equal([...one.record.changes.records.keys()], changes, 'nothing of it is to be committed');
  assert.is(one.record.activities.get('till/two')?.inbound?.through, 1, 'the message may be tried again');
});

test('T1: so does a refusal', () => {
  const one = bench();
  one.ask('put', 1);
  scripts.busyRefuse = (turn) => {
    busy(turn);
    turn.refuse('changed my mind', { after: 'all' });
  };
  const before = one.picture;
  assert.equal(rowOf(one.ask('run', 'busyRefuse')), ['refused', 'changed my mind', { after: 'all' }]);
  assert.equal(one.picture, before);
});

test('T3, P5: a refusal, and the failed call of a client, are remembered like any answer', () => {
  const one = bench();
  scripts.boom = () => {
    throw new Error('boom');
  };
  const refused = committed(one.ask('run', 'refuse'));
  const failed = committed(one.ask('run', 'boom'));
  const inbound = one.record.activities.get('@client')?.inbound;
  assert.is(inbound?.through, 2);
  assert.equal(
    inbound?.answers.map(({ bytes }) => bytes),
    [failed.answer],
    'the floor has passed the first',
  );
  assert.equal([...(decode(refused.answer) as unknown[])].slice(0, 2), ['refused', 'no']);
  assert.equal(rowOf({ ...failed }), ['failed', 'failed', 'boom']);
  assert.ok(one.record.changes.records.has('p@client'));
});

test("T3: an entity's message whose turn throws is not answered: it is to be tried again", () => {
  const one = bench();
  const result = one.send('till/two', contentOf('run', 'boom', { wantsAnswer: true }));
  assert.is(result.kind, 'threw');
  assert.is(one.record.activities.get('till/two'), undefined);
});

test('T3: an error of ours crosses with its code, never with its stack', () => {
  scripts.unstorable = (turn) => {
    turn.state.log = [(() => 1) as never];
  };
  const row = rowOf(bench().ask('run', 'unstorable'));
  failure('unstorable', /state\.log\[0\] is a function/)(row);
  assert.is(row.length, 3);
  assert.not.match(JSON.stringify(row), /turn\.test/);
});

test('an input that its schema does not accept says where and why', () => {
  failure('invalid-input', /^till\/\S+ put: units: not positive/)(rowOf(bench().ask('put', -1)));
  failure('invalid-input', /not positive/)(rowOf(bench().ask('put')));
});

test('an operation that takes no input refuses one', () => {
  const Bare = entity('bare', { initial: () => 0, operations: { go: command() } });
  const one = new Bench(behaviour(Bare, { go: () => undefined }));
  assert.equal(rowOf(one.ask('go')).slice(0, 1), ['done']);
  failure('invalid-input', /^bare\/\S+ go takes no input/)(rowOf(one.ask('go', 1)));
});

test('an unknown operation is refused, inherited names and queries included', () => {
  const names = ['nothing', 'constructor', '__proto__', 'toString', 'hasOwnProperty', 'valueOf', '', 'units'];
  for (const name of names) failure('unknown-operation', /'till'/)(rowOf(bench().ask(name)));
});

test('a query reaches no command, no inherited name, and may not write', () => {
  const one = bench();
  const ask = (operation: string, payload: Uint8Array = new Uint8Array(0)) =>
    runQuery(one.record, till, till.instantiate('one'), { operation, payload }, one.environment);
  for (const name of ['put', 'nothing', 'constructor', '__proto__', 'toString'])
    assert.throws(
      () => ask(name),
      (error: unknown) => isSkerryError(error, 'unknown-operation'),
    );
  views.write = (view) => {
    (view.state as { units: number }).units = 1;
  };
  views.refuse = (view) => view.refuse('not today');
  views.leak = (view) => {
    views.leaked = () => view.state;
    return 'kept';
  };
  assert.throws(() => ask('run2', encode('write')), /query must not change/);
  assert.throws(
    () => ask('run2', encode('refuse')),
    (error: unknown) => error instanceof Refusal,
  );
  assert.equal(ask('run2', encode('leak')), ['done', 'kept']);
  assert.equal(one.record.state.value, { units: 0, log: [] });
});

test('an async handler is refused: what it did is undone, and its late failure is nobody’s', () => {
  scripts.async = async (turn) => {
    turn.state.units = 5;
    throw new Error('later');
  };
  const one = bench();
  failure('invalid-definition', /'run' returned a promise/)(rowOf(one.ask('run', 'async')));
  assert.equal(one.record.state.value, { units: 0, log: [] });
});

test('a schema that validates asynchronously is refused', () => {
  const late: Schema<number> = {
    '~standard': { version: 1, vendor: 'test', validate: () => Promise.reject(new Error('late')) },
  };
  const Late = entity('late', { initial: () => 0, operations: { go: command(late) } });
  failure(
    'invalid-definition',
    /asynchronous/,
  )(rowOf(new Bench(behaviour(Late, { go: () => undefined })).ask('go', 1)));
});

test('T4, P11: what a handler keeps of an input, an output or a message is not the entity’s', () => {
  const kept: { list: string[] }[] = [];
  const Box = entity('box', {
    initial: () => ({ list: [] as string[] }),
    operations: {
      take: command(unchecked<{ list: string[] }>(), unchecked<{ list: string[] }>()),
      tell: command(unchecked<{ list: string[] }>()),
    },
  });
  const box = behaviour(Box, {
    take(turn, input) {
      turn.state.list = input.list;
      const output = { list: ['out'] };
      kept.push(input, output);
      return output;
    },
    tell(turn, input) {
      turn.to(Box, 'two').tell(input);
      input.list.push('after sending');
    },
  });
  const one = new Bench(box);
  const first = committed(one.ask('take', { list: ['a'] }));
  for (const value of kept) value.list.push('later');
  assert.equal(one.record.state.value, { list: ['a'] });
  assert.equal(decode(first.answer), ['done', { list: ['out'] }]);
  one.ask('tell', { list: ['a'] });
  assert.equal(inputOf(one.outbox('box/two')[0]), { list: ['a'] });
});

test('T4, P11: bytes that a handler is given are its own: changing them changes neither message nor state', () => {
  const Bytes = entity('bytes', {
    initial: () => ({ held: new Uint8Array(0) as Uint8Array }),
    operations: { keep: command(unchecked<{ given: Uint8Array }>()) },
  });
  const one = new Bench(
    behaviour(Bytes, {
      keep(turn, { given }) {
        turn.state.held = given;
        given.fill(9);
      },
    }),
  );
  const content = contentOf('keep', { given: new Uint8Array([1, 2, 3]) });
  const before = new Uint8Array(content.payload);
  committed(one.send('@client', content));
  assert.equal(new Uint8Array(content.payload), before);
  assert.equal([...(one.record.state.value as { held: Uint8Array }).held], [1, 2, 3]);
});

test('an answer to an answer is never sent', () => {
  const one = bench();
  committed(one.send('till/two', contentOf('put', ['done', 1], { kind: 'answer', wantsAnswer: true })));
  assert.equal(one.outbox('till/two'), []);
});

test('the time of a turn never goes back, and is the one that its messages carry', () => {
  const seen: number[] = [];
  scripts.now = (turn) => {
    seen.push(turn.now);
    turn.timer('t', { at: 0 }).put(1);
    return [turn.now, turn.now, turn.random()];
  };
  const one = bench();
  assert.equal(rowOf(one.ask('run', 'now'))[1], [1_000, 1_000, 0.25]);
  one.now = 400;
  one.ask('run', 'now');
  assert.equal(seen, [1_000, 1_000]);
  assert.is(one.record.timers.get('t')?.due, 1_000, 'a date that has passed is now');
  one.now = 1_001;
  one.ask('run', 'now');
  assert.is(seen.at(-1), 1_001);
});

test('who asked: an entity, a client with its verified identity, or the entity itself', () => {
  const seen: unknown[] = [];
  scripts.from = (turn) => {
    seen.push(turn.from);
    if (turn.from.kind === 'entity') turn.timer('again', { afterMs: 0 }).run('from');
  };
  const one = bench();
  one.ask('run', 'from');
  one.send('till/a/b', contentOf('run', 'from'));
  one.timer('again');
  one.send(keyPartner('ada@x.org', 'key'), contentOf('run', 'from'));
  const asEntity = { kind: 'entity', type: 'till', key: 'a/b' };
  assert.equal(seen, [
    { kind: 'client', identity: '', id: 'client' },
    asEntity,
    { kind: 'self' },
    { kind: 'client', identity: 'ada@x.org', id: 'key' },
  ]);
});

test('a turn is unusable after its end: its drafts throw, and nothing can be sent or decided any more', () => {
  let leaked: TillTurn | undefined;
  let state: { units: number } | undefined;
  let recipient: { put(units: number): void } | undefined;
  scripts.leak = (turn) => {
    leaked = turn;
    state = turn.state;
    recipient = turn.to(Till, 'two');
  };
  const one = bench();
  one.ask('run', 'leak');
  const turn = leaked as TillTurn | undefined;
  assert.ok(turn && state && recipient);
  const { put } = recipient;
  const before = one.picture;
  const late: readonly (() => unknown)[] = [
    () => state?.units,
    () => turn.state.units,
    () => (turn.activity as { seen: number }).seen,
    () => recipient?.put(1),
    () => put.call(recipient, 1),
    () => turn.to(Till, 'x').put(1),
    () => turn.timer('x', { afterMs: 1 }).put(1),
    () => turn.cancelTimer('x'),
    () => turn.confirm({ entity: 'till/x', operation: 'put', id: 'x' }),
  ];
  for (const use of late) assert.throws(use, (error: unknown) => isSkerryError(error, 'failed'), String(use));
  assert.equal(one.picture, before);
});

test('R1: what a turn changed is named in the changes, so that one commit carries it', () => {
  scripts.all = (turn) => {
    turn.state.units = 1;
    turn.to(Till, 'two').put(1);
    turn.to(Till, 'two').activity.seen = 1;
    turn.timer('tick', { afterMs: 5 }).put(1);
  };
  const one = bench();
  one.ask('run', 'all');
  const { changes } = one.record;
  assert.ok(changes.isStateChanged);
  const names = [...changes.records.keys()].sort();
  assert.equal(names, [`otill/two\0${'1'.padStart(11, '0')}`, 'p@client', 'ptill/two', 'ttick']);
});

test.run();
