/** Cron expressions: their syntax, and their dates beside a slow oracle that asks `Intl.DateTimeFormat` for every minute. */
import fc from 'fast-check';
import { nextCron, parseCron } from '../../core/cron.ts';
import { datesOver, oracleOf, shownOver } from '../support/cron-oracle.ts';
import { assert, suite } from '../support/suite.ts';

const test = suite('cron');

const dayMs = 86_400_000;
const leadMinutes = 1_440;

function datesBetween(text: string, zone: string, from: number, to: number): number[] {
  const cron = parseCron(text);
  const dates: number[] = [];
  let last = from - 1;
  for (let at = nextCron(cron, zone, last); at !== undefined && at < to; at = nextCron(cron, zone, last)) {
    assert.ok(at > last, `${at} comes after ${last}`);
    dates.push(at);
    last = at;
  }
  return dates;
}

const iso = (dates: readonly number[]) => dates.map((date) => new Date(date).toISOString().slice(0, 16));

test('CD1, WC1: a time that is skipped is due at the first instant after, one that is repeated at its first pass', () => {
  const berlin = (text: string, day: string) => {
    const from = Date.parse(`${day}T00:00Z`) - 3_600_000;
    return iso(datesBetween(text, 'Europe/Berlin', from, from + dayMs + 3_600_000));
  };
  assert.equal(berlin('30 2 * * *', '2026-03-29'), ['2026-03-29T01:00']);
  assert.equal(berlin('0,15,30 2,3 * * *', '2026-03-29'), ['2026-03-29T01:00', '2026-03-29T01:15', '2026-03-29T01:30']);
  assert.equal(berlin('30 2 * * *', '2026-10-25'), ['2026-10-25T00:30']);
  const again = nextCron(parseCron('30 2 * * *'), 'Europe/Berlin', Date.parse('2026-10-25T01:10Z'));
  assert.equal(iso([again ?? 0]), ['2026-10-26T01:30'], 'set within the hour that is shown again');
});

test('CD2: with every hour, every instant is due whose wall time is named', () => {
  const from = Date.parse('2026-10-24T23:30Z');
  assert.equal(iso(datesBetween('0 * * * *', 'Europe/Berlin', from, from + 3 * 3_600_000)), [
    '2026-10-25T00:00',
    '2026-10-25T01:00',
    '2026-10-25T02:00',
  ]);
});

test('a day that a zone skips whole, or a midnight that it skips, loses no date', () => {
  const apia = Date.parse('2011-12-30T00:00Z');
  assert.equal(iso(datesBetween('0 9 * * *', 'Pacific/Apia', apia - dayMs, apia + 2 * dayMs)), [
    '2011-12-29T19:00',
    '2011-12-30T10:00',
    '2011-12-30T19:00',
    '2011-12-31T19:00',
  ]);
  const saoPaulo = Date.parse('2018-11-04T00:00Z');
  assert.equal(iso(datesBetween('0 0 * * *', 'America/Sao_Paulo', saoPaulo, saoPaulo + dayMs)), ['2018-11-04T03:00']);
});

/** Instants about which the clocks of these zones were changed, and such at which nothing happens. */
const places: readonly [string, string][] = [
  ['Europe/Berlin', '2026-03-29'],
  ['Europe/Berlin', '2026-10-25'],
  ['America/New_York', '2024-03-10'],
  ['America/New_York', '2024-11-03'],
  ['Australia/Lord_Howe', '2025-04-06'],
  ['Australia/Lord_Howe', '2025-10-05'],
  ['Pacific/Apia', '2011-12-30'],
  ['America/Sao_Paulo', '2018-11-04'],
  ['America/Caracas', '2007-12-09'],
  ['Asia/Pyongyang', '2018-05-05'],
  ['Antarctica/Troll', '2026-03-29'],
  ['Africa/Casablanca', '2026-02-15'],
  ['UTC', '2028-02-29'],
];
const spans = new Map<string, { readonly from: number; readonly shown: readonly number[] }>();

function spanOf([zone, day]: readonly [string, string]) {
  const name = `${zone} ${day}`;
  const found = spans.get(name);
  if (found !== undefined) return found;
  const from = Date.parse(`${day}T00:00Z`) - 2 * dayMs - leadMinutes * 60_000;
  const span = { from, shown: shownOver(zone, from, from + 5 * dayMs) };
  spans.set(name, span);
  return span;
}

const part = (min: number, max: number) =>
  fc.oneof(
    { weight: 4, arbitrary: fc.constant('*') },
    { weight: 2, arbitrary: fc.integer({ min: 1, max: 20 }).map((step) => `*/${step}`) },
    {
      weight: 3,
      arbitrary: fc.array(fc.integer({ min, max }), { minLength: 1, maxLength: 3 }).map((all) => all.join()),
    },
    {
      weight: 2,
      arbitrary: fc
        .tuple(fc.integer({ min, max }), fc.integer({ min, max }), fc.integer({ min: 1, max: 7 }))
        .map(([one, other, step]) => `${Math.min(one, other)}-${Math.max(one, other)}/${step}`),
    },
  );
const expression = fc
  .tuple(
    part(0, 59),
    fc.oneof(part(0, 4), part(0, 23)),
    part(1, 31),
    fc.constantFrom('*', '*', '3,10', '1-12'),
    part(0, 6),
  )
  .map((fields) => fields.join(' '));

test('CD1, CD2: the dates are those of the slow oracle, in zones whose clocks change and at random', () => {
  fc.assert(
    fc.property(expression, fc.constantFrom(...places), fc.nat(4_000), (text, place, minutes) => {
      const { from, shown } = spanOf(place);
      // From any instant on: also from one within an hour that is shown again.
      const lead = leadMinutes + minutes;
      const expected = datesOver(oracleOf(text), from, shown, lead);
      const first = from + lead * 60_000;
      assert.equal(iso(datesBetween(text, place[0], first, from + shown.length * 60_000)), iso(expected));
    }),
    { numRuns: 400 },
  );
});

test('years without a date are passed over', () => {
  const from = Date.parse('2096-03-01T00:00Z');
  assert.is(nextCron(parseCron('0 12 29 2 *'), 'Europe/Berlin', from), Date.parse('2104-02-29T11:00Z'));
  assert.is(nextCron(parseCron('* * 29 FEB *'), 'UTC', from), Date.parse('2104-02-29T00:00Z'));
});

test('names, ranges, steps and lists are read; both days named: either will do; Sunday is 0 and 7', () => {
  const from = Date.parse('2026-06-01T00:00Z');
  const june = (text: string) => iso(datesBetween(text, 'UTC', from, from + 30 * dayMs)).map((date) => date.slice(8));
  assert.equal(
    june('0 9 * jun mon-TUE'),
    ['01', '02', '08', '09', '15', '16', '22', '23', '29', '30'].map((day) => `${day}T09:00`),
  );
  assert.equal(
    june('0 0 13 * 5'),
    ['05', '12', '13', '19', '26'].map((day) => `${day}T00:00`),
  );
  assert.equal(june('0 0 * * 7'), june('0 0 * * 0'));
  assert.equal(june('50/5 23 30 6 *'), ['30T23:50', '30T23:55']);
});

test('what is wrong, or never due, is refused in a line that says what', () => {
  const wrong: readonly [string, RegExp][] = [
    ['', /fields/],
    ['* * * *', /4 fields/],
    ['0 * * * * *', /6 fields/],
    ['@daily', /'0 0 \* \* \*'/],
    ['@reboot', /nickname/],
    ['60 * * * *', /'60' is no minute/],
    ['* 24 * * *', /no hour/],
    ['* * 0 * *', /no day of month/],
    ['* * * 13 *', /no month/],
    ['* * * FOO *', /no month/],
    ['* * * * 8', /no day of week/],
    ['5-3 * * * *', /no minute/],
    ['*/0 * * * *', /no minute/],
    ['1-2-3 * * * *', /no minute/],
    ['1, * * * *', /no minute/],
    ['-5 * * * *', /no minute/],
    ['1.5 * * * *', /no minute/],
    ['L * * * *', /no minute/],
    ['0 0 30 2 *', /no year has such a day/],
    ['0 0 31 4,6,9,11 *', /no year has such a day/],
  ];
  for (const [text, reason] of wrong) assert.throws(() => parseCron(text), reason, text);
});

test.run();
