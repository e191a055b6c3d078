/** Periodic timers: their dates, what becomes of missed ones, and what ends a series. */
import { behaviour, command, entity, isSkerryError, type Turn, unchecked } from '../../core/index.ts';
import { decodePart, encodePart } from '../../runtime/entity/record-format.ts';
import { play } from '../../runtime/testing/index.ts';
import { rowOf as rowOfStore } from '../../runtime/wire/codec.ts';
import { Bench, committed, rowOf } from '../support/bench.ts';
import { assert, suite } from '../support/suite.ts';

const test = suite('periods');

interface Tick {
  readonly for: number | undefined;
  readonly missed: number;
}

const Bell = entity('bell', {
  initial: () => ({ ticks: [] as Tick[] }),
  operations: { run: command(unchecked<undefined>()), tick: command() },
});
let script: (turn: Turn<typeof Bell>) => unknown = () => undefined;
let onTick: (turn: Turn<typeof Bell>) => void = () => undefined;
const bell = behaviour(Bell, {
  run: (turn) => void script(turn),
  tick(turn) {
    turn.state.ticks.push({ for: turn.scheduledFor, missed: turn.missedCount });
    onTick(turn);
  },
});

function bench(period: object): Bench {
  script = (turn) => turn.timer('t', period as { everyMs: number }).tick();
  onTick = () => undefined;
  const one = new Bench(bell);
  committed(one.ask('run'));
  return one;
}

const ticksOf = (one: Bench) =>
  (one.record.state.value as { ticks: Tick[] }).ticks.map((tick) => [tick.for, tick.missed]);
const dueOf = (one: Bench) => one.record.timers.get('t')?.due;
/** Run by a worker that sees what is due now, until nothing is. */
function awake(one: Bench): void {
  for (let turns = 0; (dueOf(one) ?? Infinity) <= one.now; turns++) {
    assert.ok(turns < 6, 'a date has its turn again and again');
    committed(one.timer('t'));
  }
}

test('PT1: dates do not drift, however late each turn is', () => {
  const one = bench({ everyMs: 100 });
  for (let round = 0; round < 5; round++) {
    one.now = (dueOf(one) ?? 0) + 37;
    awake(one);
  }
  assert.equal(
    ticksOf(one),
    [1_100, 1_200, 1_300, 1_400, 1_500].map((date) => [date, 0]),
  );
  assert.is(dueOf(one), 1_600);
});

test("missed 'once': one turn for the latest date, which says how many had none", () => {
  const one = bench({ everyMs: 100 });
  one.now = 1_000_000_000_050;
  awake(one);
  assert.equal(ticksOf(one), [[1_000_000_000_000, 9_999_999_989]]);
  assert.is(dueOf(one), 1_000_000_000_100);
});

test("missed 'each': one turn for each of the latest, in order; those before are counted", () => {
  const one = bench({ everyMs: 100, missed: 'each', upTo: 3 });
  one.now = 2_050;
  awake(one);
  assert.equal(ticksOf(one), [
    [1_800, 7],
    [1_900, 0],
    [2_000, 0],
  ]);
  assert.is(dueOf(one), 2_100);
});

test("missed 'skip': no turn for a date that is too long ago, and the next one counts it", () => {
  const one = bench({ everyMs: 100_000, missed: 'skip', graceMs: 30_000 });
  one.now = 331_001;
  awake(one);
  assert.equal(ticksOf(one), []);
  assert.is(dueOf(one), 401_000);
  one.now = 431_000;
  awake(one);
  assert.equal(ticksOf(one), [[401_000, 3]]);
});

test('missed dates of cron are counted up to 10,000, and the latest have their turns', () => {
  const year = 365 * 86_400_000;
  const once = bench({ cron: '* * * * *' });
  once.now = 1_000 + year;
  awake(once);
  assert.equal(ticksOf(once), [[year, 9_999]]);
  const each = bench({ cron: '*/10 * 1 1 *', zone: 'UTC', missed: 'each', upTo: 4 });
  each.now = 100 * year;
  awake(each);
  const dates = ticksOf(each).map(([date]) => new Date(Number(date)).toISOString());
  assert.equal(
    dates,
    ['20', '30', '40', '50'].map((minute) => `2069-01-01T23:${minute}:00.000Z`),
  );
  const dense = bench({ cron: '* * * * *', missed: 'each', upTo: 1_000 });
  dense.now = year;
  committed(dense.timer('t'));
  assert.equal(ticksOf(dense), [[year - 999 * 60_000, 9_000]]);
});

test('PT2: a turn that refuses, or is given up, does not end the series; one that throws leaves it as it was', () => {
  const one = bench({ everyMs: 100 });
  one.now = 1_150;
  onTick = () => {
    throw new Error('bad');
  };
  const before = one.picture;
  assert.is(one.timer('t').kind, 'threw');
  assert.equal(one.picture, before);
  const request = { kind: 'due', part: 'timers', id: 't' } as const;
  committed(one.bury(request, new Error('bad')));
  assert.is(dueOf(one), 1_200);
  one.now = 1_250;
  committed(one.bury(request, new Error('worse')));
  assert.is(dueOf(one), 1_300);
  assert.equal(
    [...one.record.dead.values()].map(({ id, reason }) => [id, reason]),
    [['timer:t', 'worse']],
  );
  one.now = 1_350;
  onTick = (turn) => turn.refuse('no');
  assert.equal(rowOf(one.timer('t')).slice(0, 2), ['refused', 'no']);
  assert.is(dueOf(one), 1_400);
  one.now = 1_450;
  onTick = () => undefined;
  awake(one);
  assert.equal(ticksOf(one), [[1_400, 0]]);
});

test("a series with 'each' keeps a letter for each date that was given up", () => {
  const one = bench({ everyMs: 100, missed: 'each' });
  one.now = 1_250;
  const request = { kind: 'due', part: 'timers', id: 't' } as const;
  for (let date = 0; date < 2; date++) committed(one.bury(request, new Error('bad')));
  assert.is(one.record.dead.size, 2);
  assert.is(dueOf(one), 1_300);
});

test('a series whose zone is no longer known is tried again, and never lost', () => {
  const one = bench({ cron: '0 9 * * *', zone: 'UTC' });
  const timer = one.record.timers.get('t');
  assert.ok(timer?.period);
  one.record.timers.set('t', { ...timer, period: { ...timer.period, zone: 'Mars/Phobos' } });
  one.now = timer.due;
  assert.is(one.timer('t').kind, 'threw');
  committed(one.bury({ kind: 'due', part: 'timers', id: 't' }, new Error('zone')));
  assert.is(dueOf(one), timer.due + 3_600_000);
});

test('the turn of a series may cancel it, replace it, and set it again', () => {
  for (const [change, due] of [
    [(turn: Turn<typeof Bell>) => turn.cancelTimer('t'), undefined],
    [(turn: Turn<typeof Bell>) => turn.timer('t', { everyMs: 1_000 }).tick(), 2_150],
    [(turn: Turn<typeof Bell>) => turn.timer('t', { afterMs: 5 }).tick(), 1_155],
  ] as const) {
    const one = bench({ everyMs: 100 });
    one.now = 1_150;
    onTick = (turn) => void change(turn);
    committed(one.timer('t'));
    assert.is(dueOf(one), due);
  }
  const one = bench({ everyMs: 100 });
  script = (turn) => turn.cancelTimer('t');
  committed(one.ask('run'));
  assert.is(one.record.timers.size, 0);
});

test('a turn says for what date it is in timers alone, and a timer that fires once has missed none', () => {
  const one = bench({ afterMs: 500 });
  one.now = 1_800;
  committed(one.timer('t'));
  committed(one.ask('tick'));
  assert.equal(ticksOf(one), [
    [1_500, 0],
    [undefined, 0],
  ]);
  assert.is(one.record.timers.size, 0);
});

test('a period that is wrong, or never due, is refused at the call, and nothing is lost', () => {
  const wrong: readonly [object, RegExp][] = [
    ...[0, -1, 9, 10.5, Number.NaN, Infinity, '100', null, 4e12].map((everyMs): [object, RegExp] => [
      { everyMs },
      /^everyMs must/,
    ]),
    [{ everyMs: 100, cron: '* * * * *' }, /not cron/],
    [{ everyMs: 100, zone: 'UTC' }, /not zone/],
    [{ everyMs: 100, afterMs: 5 }, /not afterMs/],
    [{ everyMs: 100, missed: 'twice' }, /missed must be/],
    [{ everyMs: 100, upTo: 5 }, /upTo is for/],
    [{ everyMs: 100, missed: 'each', upTo: 0 }, /upTo must be/],
    [{ everyMs: 100, graceMs: 5 }, /graceMs is for/],
    [{ everyMs: 100, missed: 'skip', graceMs: Number.NaN }, /graceMs must be/],
    [{ cron: '0 0 30 2 *' }, /no year has such a day/],
    [{ cron: 'soon' }, /The cron 'soon' is wrong: it has 1 fields/],
    [{ cron: 5 }, /cron must be a string/],
    [{ cron: 'x'.repeat(257) }, /at most 256/],
    [{ cron: '* * * * *', zone: 'Europe/Atlantis' }, /no time zone 'Europe\/Atlantis'/],
    [{ cron: '* * * * *', zone: '+01:00' }, /IANA/],
    [{ cron: '* * * * *', zone: '' }, /IANA/],
    [{ cron: '* * * * *', zone: 7 }, /IANA/],
  ];
  for (const [period, text] of wrong) {
    const one = bench({ everyMs: 100 });
    let thrown: unknown;
    script = (turn) => {
      try {
        turn.timer('t', period as { everyMs: number });
      } catch (error) {
        thrown = error;
      }
    };
    committed(one.ask('run'));
    assert.ok(isSkerryError(thrown, 'invalid-input'), JSON.stringify(period));
    assert.match((thrown as Error).message, text);
    assert.is(dueOf(one), 1_100);
  }
});

test('only timers are periodic, and only of commands', () => {
  const one = bench({ everyMs: 100 });
  // @ts-expect-error `to` takes { afterMs } or { at }
  script = (turn) => turn.to(Bell, 'two', { everyMs: 100 }).tick();
  assert.match(String(rowOf(one.ask('run'))[2]), /Only timers are periodic/);
});

test('F5: a series is a row with more columns, which earlier versions refuse; other timers are as they were', () => {
  const one = bench({ cron: ' 0  9 * * MON ', zone: 'Europe/Berlin', missed: 'each', upTo: 7 });
  const [part] = one.record.timers.values();
  assert.ok(part?.period);
  const { period, ...once } = part;
  const read = decodePart('timers', encodePart({ kind: 'timers', part }));
  assert.equal([read.period, read.due, read.order], [period, part.due, part.order]);
  assert.is(period.cron, '0 9 * * MON');
  const plain = encodePart({ kind: 'timers', part: once });
  assert.is('period' in decodePart('timers', plain), false);
  assert.is(rowOfStore(encodePart({ kind: 'timers', part })).left - rowOfStore(plain).left, 7);
});

test('play: time goes over as many dates as there are in it', () => {
  script = (turn) => turn.timer('t', { cron: '0 9 * * 1-5', zone: 'Europe/Berlin' }).tick();
  onTick = ({ state }) => {
    if (state.ticks.length > 300) throw new Error('a date has its turn again and again');
  };
  const one = play(bell, 'one', { now: Date.parse('2026-01-01T00:00Z') });
  one.ask.run(undefined);
  one.advance(365 * 86_400_000);
  assert.is(one.state.ticks.length, 261);
  assert.ok(one.state.ticks.every(({ missed }) => missed === 0));
});

test.run();
