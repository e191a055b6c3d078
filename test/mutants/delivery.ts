/** Mutants of delivery, closing and forgetting: what is sent again, when a stream ends, and what is remembered until then. */
import type { Mutant } from './list.ts';

export const deliveryMutants: readonly Mutant[] = [
  {
    name: 'what is sent again is as old as the proof of the first time',
    promise: 'P7',
    file: 'runtime/courier.ts',
    find: 'if (now - ownership.confirmedAt(activation.partition) < limits.transitMaxMs / 8) again();',
    replace: 'if (now >= 0) again();',
    tests: ['courier-late'],
  },
  {
    name: 'a message that threw is too old to be tried again',
    promise: 'P7',
    file: 'runtime/turns.ts',
    find: 'const judged = isAgain ? { ...arrival, sent: arrival.expires } : arrival;',
    replace: 'const judged = arrival;',
    tests: ['courier'],
  },
  {
    name: 'what was handed over is believed of an entity whose own commit is in doubt',
    promise: 'E3',
    file: 'runtime/residents.ts',
    find: ' || this.#doubted.has(address)) return;\n    const activation',
    replace: ') return;\n    const activation',
    tests: ['handoff'],
  },
  {
    name: 'what was processed is forgotten before it was durable',
    promise: 'P7',
    file: 'runtime/forgetting.ts',
    find: 'if (mayForget(activity.inbound, now, limits) && !entity.changes.records.has(name)) {',
    replace: 'if (mayForget(activity.inbound, now, limits)) {',
    tests: ['forgetting'],
  },
  {
    name: 'the outbox of a lost history stays beside the new one',
    promise: 'P8',
    file: 'runtime/courier.ts',
    find: '    for (const { seq } of before?.unacked ?? []) records.set(recordName.outbox(partner, seq), null);\n',
    replace: '',
    tests: ['courier-late'],
  },
  {
    name: 'the late end of an earlier session ends the one that is closing now',
    promise: 'P7',
    file: 'runtime/closing.ts',
    find: ' || !activity.outbound.isClosing || activity.outbound.session !== session)',
    replace: ' || !activity.outbound.isClosing)',
    tests: ['closing'],
  },
];
