/**
 * Slips that nothing notices, and why that is right: what they change is the same in effect, or costs a little and breaks no
 * promise. One that is not here and survives is a missing test.
 */
export interface Argued {
  readonly file: string;
  /** The line, trimmed. */
  readonly text: string;
  /** Which slips of it; none: all. */
  readonly what?: readonly string[];
  readonly because: string;
}

export const argued: readonly Argued[] = [
  {
    file: 'core/activity.ts',
    text: 'if (outbound.sealed.length === 0) return;',
    what: ['nothing'],
    because: 'of an empty list nothing is left out either: it only saves looking for the floor',
  },
  {
    file: 'runtime/entity/stream-closing.ts',
    text: 'if (inbound.closedAt > 0)',
    what: ['1 for 0'],
    because: 'it is a date or 0, never 1',
  },
  {
    file: 'core/activity.ts',
    text: 'return { name: `${name}-${(opened.session - start).toString(36)}`, start: opened.session, epoch, opened };',
    what: ['+ for -'],
    because: 'the name is only to differ from all others, and does',
  },
  {
    file: 'core/activity.ts',
    text: 'const keep = Math.max(before?.keepUntil ?? 0, keepUntil);',
    what: ['1 for 0'],
    because: 'every date is later than both',
  },
  {
    file: 'core/activity.ts',
    text: 'if (first !== undefined && (first.seq < arrival.floor || first.until < now)) dropAnswers(before, arrival.floor, now);',
    what: ['<= for <'],
    because: 'it only says when to look: what is dropped is decided there',
  },
  {
    file: 'core/activity.ts',
    text: 'if (inbound === undefined || bytesOf(inbound.answers) <= bytesMax) return false;',
    what: ['< for <='],
    because: 'it only says when to look: at the edge what comes after it says the same',
  },
  {
    file: 'runtime/entity/stream-closing.ts',
    text: 'if (entity.forgetAt === 0 || entity.forgetAt > forgetAt) entity.forgetAt = forgetAt;',
    what: ['>= for >'],
    because: 'the same date is written over itself',
  },
  {
    file: 'runtime/entity/stream-closing.ts',
    text: 'const isPatient = entity.activities.get(from)?.outbound?.isClosing === true && activation.address < from;',
    what: ['<= for <'],
    because: 'only what writes to itself has equal addresses, and then there is one side, which may wait or not',
  },
  {
    file: 'core/activity.ts',
    text: 'const settled = takeOut(outbound, isAll ? outbound.next : (last?.end ?? 0), now);',
    what: ['1 for 0'],
    because: 'numbers begin with 1, so that nothing is below either',
  },
  {
    file: 'runtime/entity/retention.ts',
    text: "if (excess <= 0 || activation.isSearching || activation.behaviour.durability !== 'turn') return;",
    what: ['< for <='],
    because: 'with nothing in excess the first look at an activity ends it',
  },
  {
    file: 'runtime/entity/retention.ts',
    text: 'const isPlanned = entity.forgetAt > 0 && entity.forgetAt <= now;',
    what: ['1 for 0'],
    because: 'it is a date or 0, never 1',
  },
  {
    file: 'runtime/entity/retention.ts',
    text: '} else if (activity.inbound.closedAt > 0) {',
    what: ['1 for 0'],
    because: 'it is a date or 0, never 1',
  },
  {
    file: 'runtime/entity/retention.ts',
    text: 'const isSearchDue = !entity.isComplete && entity.searchAt > 0 && entity.searchAt <= now && !activation.isSearching;',
    what: ['1 for 0'],
    because: 'it is a date or 0, never 1',
  },
  {
    file: 'runtime/entity/retention.ts',
    text: 'planSearch(entity, environment.now() + sweepPauseMs);',
    what: ['nothing'],
    because: 'the one that has failed began by planning the next one, and nothing takes that date away',
  },
  {
    file: 'runtime/entity/retention.ts',
    text: 'entity.forgetAt = sooner(entity.forgetAt, entity.searchAt);',
    what: ['nothing'],
    because: 'the search began by planning one no later than this, and is looked at again then',
  },
  {
    file: 'runtime/entity/retention.ts',
    text: 'else if (entity.forgetAt > 0) this.#parts.wakeBy(activation, entity.forgetAt);',
    what: ['>= for >', '1 for 0'],
    because: 'it is a date where a search has ended, which began by planning the next one',
  },
  {
    file: 'runtime/entity/delivery.ts',
    text: 'if (outbound === undefined || outbound !== flight.stream || floorOf(outbound) < seq) return;',
    what: ['<= for <'],
    because: 'its number has left the outbox, so that the floor is never just there',
  },
  {
    file: 'runtime/entity/delivery.ts',
    text: 'if (outbound === undefined) return;',
    what: ['nothing'],
    because: 'who calls it has looked; it is said for the compiler',
  },
  {
    file: 'runtime/entity/delivery.ts',
    text: 'else if (flight.retryAt > 0) next = Math.min(next, flight.retryAt);',
    what: ['1 for 0'],
    because: 'it is a date or 0, never 1',
  },
  {
    file: 'runtime/entity/delivery.ts',
    text: 'const front = stream === undefined ? 0 : frontOf(stream);',
    what: ['1 for 0'],
    because: 'of no stream it is compared with nothing',
  },
  {
    file: 'runtime/entity/delivery.ts',
    text: 'if (activity === undefined || outbound === undefined) return;',
    what: ['&& for ||', 'nothing'],
    because: 'who calls it has looked; it is said for the compiler',
  },
  {
    file: 'runtime/entity/delivery.ts',
    text: 'return flight === undefined || flight.buried.length === 0 ? floor : Math.min(floor, ...flight.buried);',
    what: ['&& for ||'],
    because: 'what is sent has a flight, and the least of one number is that number',
  },
];
