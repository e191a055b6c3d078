/** Mutants of how long an entity remembers what it processed, where earlier messages were given up. */
import type { Mutant } from './list.ts';

const calls = { file: 'runtime/client/calls.ts', tests: ['client/client'] } as const;

export const retentionMutants: readonly Mutant[] = [
  {
    ...calls,
    name: 'a call says nothing of an earlier one that may still arrive',
    promise: 'P4',
    find: 'if (stream === undefined || stream.deadline <= deadline) return keepMs;',
    replace: 'if (stream?.deadline !== 0) return keepMs;',
  },
  {
    ...calls,
    name: 'what a call says of earlier ones allows for no difference of clocks',
    promise: 'P4',
    find: 'Math.min(leftMs + limits.skewMaxMs, limits.lifeMsMax)',
    replace: 'Math.min(leftMs, limits.lifeMsMax)',
  },
  {
    ...calls,
    name: 'a call asks to be remembered for longer than any may',
    promise: 'P12',
    find: 'Math.min(leftMs + limits.skewMaxMs, limits.lifeMsMax)',
    replace: '(leftMs + limits.skewMaxMs)',
  },
  {
    name: 'what an entity dropped is accepted once what came behind it is forgotten',
    promise: 'P4',
    file: 'core/activity.ts',
    find: 'isAsked ? transitMaxMs + skewMaxMs : 0)',
    replace: '0)',
    tests: ['core/activity'],
  },
];
