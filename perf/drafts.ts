/**
 * What does a turn's rollback and change record cost? Decided docs/decisions/0001; `npx tsx perf/drafts.ts`.
 *
 * Every way changes one or two fields again and again. Median of the repeats, µs per turn.
 */

import { enablePatches, produceWithPatches } from 'immer';
import { create as createMutative } from 'mutative';
import { type Holder, Recorder } from '../core/recorder.ts';

enablePatches();

interface Row {
  readonly name: string;
  readonly state: () => object;
  /** One turn's writes. */
  readonly change: (state: object, round: number) => void;
  /** Rounds of one repeat for what is flat, and for what copies. */
  readonly rounds: { readonly flat: number; readonly copying: number };
}

type Numbers = Record<string, number>;
type Items = Record<string, { count: number }>;

const repeats = 9;

/** Runs one turn after the other; each returns the state for the next. */
type Way = (state: object, change: Row['change'], rounds: number) => void;

const ways: Readonly<Record<string, { run: Way; isFlat: boolean }>> = {
  'plain mutation': {
    isFlat: true,
    run(state, change, rounds) {
      for (let round = 0; round < rounds; round++) change(state, round);
    },
  },
  'draft, undo only': { isFlat: true, run: (state, change, rounds) => drafts(false, state, change, rounds) },
  'draft + patches': { isFlat: true, run: (state, change, rounds) => drafts(true, state, change, rounds) },
  'mutative + patches': {
    isFlat: false,
    run(state, change, rounds) {
      let at = state;
      for (let round = 0; round < rounds; round++) {
        [at] = createMutative(at, (draft) => change(draft, round), { enablePatches: true });
      }
    },
  },
  'immer + patches': {
    isFlat: false,
    run(state, change, rounds) {
      let at = state;
      for (let round = 0; round < rounds; round++) {
        [at] = produceWithPatches(at, (draft: object) => change(draft, round));
      }
    },
  },
  'structuredClone before': {
    isFlat: false,
    run(state, change, rounds) {
      let kept: object | undefined;
      for (let round = 0; round < rounds; round++) {
        kept = structuredClone(state);
        change(state, round);
      }
      if (kept === undefined) throw new Error('no round ran');
    },
  },
};

function drafts(isRecording: boolean, state: object, change: Row['change'], rounds: number): void {
  const holder: Holder = { value: state };
  for (let round = 0; round < rounds; round++) {
    const recorder = new Recorder(isRecording);
    change(recorder.open(holder) as object, round);
    recorder.settle();
    if (recorder.patch(holder).length === 0) throw new Error('the turn changed nothing');
    recorder.keep();
  }
}

function fields(): Numbers {
  return Object.fromEntries(Array.from({ length: 10 }, (_, index) => [`field${index}`, index]));
}

function items(count: number): Items {
  return Object.fromEntries(Array.from({ length: count }, (_, index) => [`item${index}`, { count: index }]));
}

function changeItem(state: object, round: number): void {
  const item = (state as Items)[`item${(round * 7) % 1_000}`];
  if (item !== undefined) item.count += 1;
}

function changeFields(state: object): void {
  const numbers = state as { field2: number; field3: number };
  numbers.field2 += 1;
  numbers.field3 -= 1;
}

const rows: readonly Row[] = [
  { name: '10 fields, 2 changed', state: fields, change: changeFields, rounds: { flat: 200_000, copying: 20_000 } },
  {
    name: '1,000 items, 1 changed',
    state: () => items(1_000),
    change: changeItem,
    rounds: { flat: 50_000, copying: 100 },
  },
  {
    name: '100,000 items, 1 changed',
    state: () => items(100_000),
    change: changeItem,
    rounds: { flat: 50_000, copying: 2 },
  },
];

/** Median µs per turn. */
function measure(row: Row, way: { run: Way; isFlat: boolean }): number {
  const rounds = way.isFlat ? row.rounds.flat : row.rounds.copying;
  const state = row.state();
  way.run(state, row.change, rounds);
  const times: number[] = [];
  for (let repeat = 0; repeat < repeats; repeat++) {
    const start = process.hrtime.bigint();
    way.run(state, row.change, rounds);
    times.push(Number(process.hrtime.bigint() - start) / 1_000 / rounds);
  }
  return times.toSorted((left, right) => left - right)[(repeats - 1) / 2] ?? Number.NaN;
}

function print(): void {
  const names = Object.keys(ways);
  console.log(`| state | ${names.join(' | ')} |`);
  console.log(`| ---${' | ---'.repeat(names.length)} |`);
  for (const row of rows) {
    const cells = names.map((name) => {
      const way = ways[name];
      return way === undefined ? '' : `${Number(measure(row, way).toPrecision(2)).toLocaleString('en')} µs`;
    });
    console.log(`| ${row.name} | ${cells.join(' | ')} |`);
  }
}

print();
