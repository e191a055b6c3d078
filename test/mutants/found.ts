/**
 * Mutants that bring back bugs which the simulator has found, and a few that remove what is hardest to see: nothing but
 * the simulator is asked about them.
 */
import type { Mutant } from './list.ts';

const simulatorOnly: readonly Omit<Mutant, 'tests'>[] = [
  {
    name: 'a read between turns makes what is not durable be sent',
    promise: 'P2',
    file: 'runtime/worker.ts',
    find: 'if (activation.flights === undefined && activation.isDurable) this.#courier.resume(activation);',
    replace: 'if (activation.flights === undefined) this.#courier.resume(activation);',
  },
  {
    name: 'the commit of an old session releases the messages of a new one',
    promise: 'P2',
    file: 'runtime/courier.ts',
    find: '    if (outbound === undefined || outbound.session !== session) return;\n    const flight',
    replace: '    if (outbound === undefined) return;\n    const flight',
  },
  {
    name: 'a stream is closed before its closing is durable',
    promise: 'P2',
    file: 'runtime/courier.ts',
    find: 'if (flight.isClosing && outbound.unacked.length === 0)',
    replace: 'if (outbound.isClosing && outbound.unacked.length === 0)',
  },
  {
    name: 'an entity is read while a lost commit may still be written',
    promise: 'P4',
    file: 'runtime/residents.ts',
    find: '      await this.#fence(activations);\n',
    replace: '',
  },
  {
    name: 'the floor passes a message whose dead letter is not durable',
    promise: 'P7',
    file: 'runtime/courier.ts',
    find: 'activation.flights?.get(partner)?.expired[0] ?? floorOf(outbound)',
    replace: 'floorOf(outbound)',
  },
  {
    name: 'a retransmission whose proof of ownership failed is forgotten',
    promise: 'P7',
    file: 'runtime/courier.ts',
    find: 'again, () => this.#planAgain(activation, due));',
    replace: 'again, () => undefined);',
  },
  {
    name: 'a retransmission of an old session ends that of the new one',
    promise: 'P7',
    file: 'runtime/courier.ts',
    find: '    if (activation.flights?.get(partner) !== flight) return;\n',
    replace: '',
  },
  {
    name: 'a stale worker says that history was lost',
    promise: 'P8',
    file: 'runtime/courier.ts',
    find: '    this.#parts.ownership.check(\n      activation.partition,\n      () => this.#lostHistory(activation, activity, { session, known }),\n      () => undefined,\n    );',
    replace: '    this.#lostHistory(activation, activity, { session, known });',
  },
  {
    name: 'a stale worker says what was not processed',
    promise: 'P7',
    file: 'runtime/turns.ts',
    find: 'else this.#emitProven(activation, probed, undefined);',
    replace: 'else this.#emit(activation, probed);',
  },
  {
    name: 'a commit under way counts as a proof of ownership',
    promise: 'P9',
    file: 'runtime/turns.ts',
    find: 'else if (flying !== undefined) flying.unproven = [...(flying.unproven ?? []), { envelope, query }];',
    replace: 'else if (flying !== undefined) flying.envelopes.push(envelope);',
  },
  {
    name: 'an entity that was dropped while it was read comes back to life',
    promise: 'V2',
    file: 'runtime/residents.ts',
    find: '    if (isDropped(activation)) return;\n',
    replace: '',
  },
  {
    name: 'what was forgotten meanwhile comes back by a read',
    promise: 'P4',
    file: 'runtime/residents.ts',
    find: 'if (known === undefined || known.outbound?.session === 0) restoreActivity',
    replace: 'restoreActivity',
  },
  {
    name: 'an open stream leaves memory and is never closed',
    promise: 'P10',
    file: 'runtime/forgetting.ts',
    find: '        activity.outbound !== undefined ||\n        activation.ahead',
    replace: '        (activity.outbound?.unacked.length ?? 0) > 0 ||\n        activation.ahead',
  },
  {
    name: 'a quiet stream is closed only while somebody is there',
    promise: 'P10',
    file: 'runtime/forgetting.ts',
    find: 'entity.forgetAt = sooner(next === Number.POSITIVE_INFINITY ? 0 : next, entity.isComplete ? 0 : entity.searchAt);',
    replace: 'entity.forgetAt = 0;',
  },
  {
    name: 'a timer that threw and was cancelled is tried for ever',
    promise: 'W3',
    file: 'runtime/turns.ts',
    find: '    this.#dropRetries(activation, now);\n',
    replace: '',
  },
  {
    name: "a request that may have been committed is told 'nothing was done'",
    promise: 'P4',
    file: 'runtime/worker.ts',
    find: '      for (const request of requests) this.#doubtful.add(request);\n',
    replace: '',
  },
  {
    name: 'messages say that their owner was proven just now',
    promise: 'P3',
    file: 'runtime/courier.ts',
    find: 'sent: this.#parts.ownership.confirmedAt(activation.partition),',
    replace: 'sent: now,',
  },
  {
    name: 'every session has the same number',
    promise: 'P4',
    file: 'core/activity.ts',
    find: 'outbound = { session, next: 1,',
    replace: 'outbound = { session: 1, next: 1,',
  },
  {
    name: 'a new owner does not ask who has unfinished business',
    promise: 'P7',
    file: 'runtime/worker.ts',
    find: '    for (const partition of partitions) await this.#resume(partition);\n',
    replace: '',
  },
  {
    name: 'a dead letter is not kept',
    promise: 'P7',
    file: 'core/turn.ts',
    find: '  record.changes.records.set(recordName.dead(letter.id), letter);\n',
    replace: '',
  },
  {
    name: 'what a large state changed is not written',
    promise: 'P1',
    file: 'runtime/persistence.ts',
    find: '    records.push([recordName.patch(layout.patchCount), patch]);\n',
    replace: '',
  },
];

export const foundMutants: readonly Mutant[] = simulatorOnly.map((mutant) => ({ ...mutant, tests: [] }));
