/** Mutants of periodic timers. */
import type { Mutant } from './list.ts';

const periods = { file: 'core/periods.ts', promise: 'PT1', tests: ['core/periods'] } as const;
const scope = { file: 'core/scope.ts', promise: 'PT2', tests: ['core/periods'] } as const;

export const periodMutants: readonly Mutant[] = [
  {
    ...periods,
    name: 'a series drifts by what its turns are late',
    find: 'const due = nextDate(period, date);',
    replace: 'const due = nextDate(period, now);',
  },
  {
    ...periods,
    name: 'missed dates that are made up for begin with the earliest',
    find: 'due + (count - kept + index) * everyMs',
    replace: 'due + index * everyMs',
  },
  {
    ...periods,
    name: 'dates that were skipped are not counted by the next turn',
    find: 'const counted = isSkipped ? missedCount + 1 : 0;',
    replace: 'const counted = 0;',
  },
  {
    ...scope,
    name: 'a date has its turn again, since the next one is not written with it',
    find: "if (this.#series !== undefined) putPart(record, 'timers', this.#series);",
    replace: '',
  },
  {
    ...scope,
    name: 'a series goes on that its own turn has cancelled',
    find: 'if (this.#series?.name === name) this.#series = undefined;',
    replace: '',
  },
  {
    name: 'a turn that is refused or given up ends its series',
    promise: 'PT2',
    file: 'core/turn-parts.ts',
    find: 'timer.period === undefined ? undefined : seriesAfter(timer, timer.period, scope.now)',
    replace: 'undefined',
    tests: ['core/periods'],
  },
  {
    name: 'a time that is repeated is due twice',
    promise: 'CD1',
    file: 'core/cron.ts',
    find: 'clock.latestBy(after) + 1',
    replace: 'clock.shownAt(after) + 1',
    tests: ['core/cron'],
  },
];
