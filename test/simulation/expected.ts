/**
 * What many seeds must exercise: faults, mechanisms of the code under test, and what each fault must have happened to. A run
 * that does not has lost a part of its workload or of its faults, and its silence about it says nothing.
 *
 * Lists what shows in every hundred seeds, what shows in a thousand, and what in three thousand. What a change takes away for good, or renames, is
 * taken out here; what it brings is put in.
 */

/** By fault: what it happens to, separated by commas. */
type Met = Readonly<Record<string, string>>;

/** In a hundred seeds. */
const faults: readonly string[] = [
  'another process of one name',
  'client cut off',
  'clock drifts',
  'clock set',
  'commit never written',
  'commit written',
  'commit written in part',
  'commit written later',
  'crash: before the store has it',
  'crash: the answer is here',
  'crash: the store has it',
  'crash: while releasing',
  'frame delayed',
  'frame dropped',
  'frame duplicated',
  'frame late',
  'next version deployed',
  'one partition went back',
  'pinned',
  'placement service lost',
  'store hangs for good',
  'store not reached',
  'store refuses',
  'store slow',
  'store went back',
  'unpinned',
  'view lost or late',
  'worker cut off',
  'worker cut off from the store',
  'worker joins',
  'worker killed',
  'worker leaves',
  'worker paused',
];

const mechanisms: readonly string[] = [
  'a call that is denied',
  'a date of a series',
  'a deep stream of a client',
  'a frame between two protocols',
  'a key that was used anew',
  'a later release’s frame',
  'a missed date of a series',
  'ack sent',
  'acknowledgement committed',
  'activity committed',
  'activity that is forgotten committed',
  'an extension arrived',
  'an input that is a byte too large',
  'an input that is as large as it may be',
  'answer sent',
  'cancel sent',
  'close sent',
  'closed sent',
  'commit committed',
  'confirm sent',
  'dead letter committed',
  'dead letter that is resolved committed',
  'draft: addRow',
  'draft: assign',
  'draft: byte',
  'draft: bytes',
  'draft: copyWithin',
  'draft: fill',
  'draft: merge',
  'draft: moveRow',
  'draft: nest',
  'draft: pop',
  'draft: push',
  'draft: remove',
  'draft: removeRow',
  'draft: rename',
  'draft: replaceRows',
  'draft: reverse',
  'draft: reverseRows',
  'draft: rotateRows',
  'draft: set',
  'draft: shift',
  'draft: sort',
  'draft: sortRows',
  'draft: splice',
  'draft: spread',
  'draft: swapRows',
  'draft: tag',
  'draft: truncate',
  'draft: unnest',
  'draft: unshift',
  'effect committed',
  'effect that settled committed',
  'first commit committed',
  'history committed',
  'history that is kept',
  'hold committed',
  'hold that ended committed',
  'message sent',
  'outbox committed',
  'patch committed',
  'patches that are folded committed',
  'probe sent',
  'probed sent',
  'reply answer sent',
  'reply denied sent',
  'reply moved sent',
  'reply overloaded sent',
  'reply store-failed sent',
  'reply unknown-type sent',
  'snapshot committed',
  'timer committed',
  'timer that ended committed',
];

const met: Met = {
  'another process of one name': 'a commit under way, a handoff, entities in memory, the placement service',
  'clock drifts': 'a commit under way, a handoff, entities in memory, the placement service',
  'clock set': 'a commit under way, a handoff, entities in memory, messages that wait, the placement service',
  'commit never written': 'acknowledgement, activity, commit, outbox',
  'commit written': 'acknowledgement, activity, commit, outbox',
  'commit written in part': 'acknowledgement, activity, commit, outbox',
  'commit written later': 'acknowledgement, activity, commit, outbox',
  'crash: before the store has it': 'acknowledgement, activity, commit, outbox',
  'crash: the answer is here': 'acknowledgement, activity, commit, outbox',
  'crash: the store has it': 'acknowledgement, activity, commit, outbox',
  'crash: while releasing': 'ack, answer, close, closed, message, reply answer',
  'frame delayed':
    'absent, ack, announce, answer, call, cancel, close, closed, confirm, keeping, message, none, ping, pong, query, release, released, reply answer, reply store-failed, resolve, seek, view',
  'frame dropped':
    'absent, ack, announce, answer, call, close, closed, confirm, keeping, message, none, ping, pong, query, release, released, reply answer, resolve, seek, view',
  'frame duplicated':
    'absent, ack, announce, answer, call, close, closed, keeping, message, none, ping, pong, query, release, released, reply answer, resolve, seek, view',
  'frame late':
    'absent, ack, announce, answer, call, close, closed, keeping, message, none, ping, query, release, reply answer, resolve, seek, view',
  'placement service lost': 'a commit under way, entities in memory, the placement service',
  'store hangs for good': 'entities in memory, the placement service',
  'store not reached': 'acknowledgement, activity, claim, commit, epochs, lease, load, outbox, read, wakes',
  'store refuses':
    'acknowledgement, activity, claim, commit, epochs, first commit, lease, load, outbox, read, timer, wakes',
  'store slow':
    'acknowledgement, activity, activity that is forgotten, claim, commit, dead letter, effect, effect that settled, epochs, first commit, history, hold, hold that ended, lease, load, outbox, patch, read, snapshot, timer, timer that ended, wakes',
  'worker cut off': 'a commit under way, a handoff, entities in memory, messages that wait, the placement service',
  'worker cut off from the store': 'a commit under way, a handoff, entities in memory, the placement service',
  'worker killed': 'a commit under way, a handoff, entities in memory, messages that wait, the placement service',
  'worker leaves':
    'a commit under way, a handoff, an effect that runs, entities in memory, messages that wait, the placement service',
  'worker paused':
    'a commit under way, a handoff, an effect that runs, entities in memory, messages that wait, the placement service',
};

/** In a thousand, too. */
const rareMechanisms: readonly string[] = ['history that is trimmed committed', 'reply not-loaded sent'];

const rarelyMet: Met = {
  'another process of one name': 'an effect that runs, messages that wait',
  'clock drifts': 'an effect that runs, messages that wait',
  'clock set': 'an effect that runs',
  'commit never written': 'activity that is forgotten, effect, first commit, hold, patch, timer, timer that ended',
  'commit written': 'activity that is forgotten, effect, first commit, history, timer',
  'commit written in part':
    'activity that is forgotten, dead letter, effect that settled, first commit, hold, patch, timer, timer that ended',
  'commit written later':
    'activity that is forgotten, effect, effect that settled, first commit, history, hold, patch, timer, timer that ended',
  'crash: before the store has it': 'first commit, history, patch, timer',
  'crash: the answer is here': 'first commit, patch',
  'crash: the store has it': 'first commit, timer, timer that ended',
  'frame delayed': 'gone, pinned, probe, probed, reply denied, reply moved, reply overloaded, reply unknown-type',
  'frame dropped':
    'cancel, gone, pinned, probe, probed, reply denied, reply overloaded, reply store-failed, reply unknown-type',
  'frame duplicated':
    'cancel, confirm, gone, pinned, probe, probed, reply denied, reply overloaded, reply store-failed, reply unknown-type',
  'frame late': 'confirm, pong, released, reply store-failed, reply unknown-type',
  'one partition went back': 'activity, open stream, timer',
  'placement service lost': 'a handoff, an effect that runs, messages that wait',
  'store hangs for good': 'a commit under way, a handoff, an effect that runs, messages that wait',
  'store not reached':
    'activity that is forgotten, dead letter, effect that settled, first commit, history, hold, patch, timer, timer that ended',
  'store refuses':
    'activity that is forgotten, dead letter, effect, effect that settled, history, hold, hold that ended, patch, timer that ended',
  'store slow': 'patches that are folded',
  'store went back': 'activity, dead letter, open stream, outbox, patch, snapshot, timer',
  'worker cut off': 'an effect that runs',
  'worker cut off from the store': 'an effect that runs, messages that wait',
  'worker killed': 'an effect that runs',
};

/** In three thousand, too: of 800 seeds each showed in 4 to 8, so that a thousand may well be without one of them. */
const rarestMet: Met = {
  'crash: the answer is here': 'activity that is forgotten, effect, effect that settled, hold',
  'crash: the store has it': 'activity that is forgotten, effect',
};

function pairsOf(table: Met): string[] {
  return Object.entries(table).flatMap(([fault, operations]) =>
    operations.split(', ').map((one) => `${one} × ${fault}`),
  );
}

/** What a run of so many seeds must have exercised. */
export function expectedOf(seedCount: number): readonly string[] {
  const always = seedCount >= 100 ? [...faults, ...mechanisms, ...pairsOf(met)] : [];
  const rare = seedCount >= 1_000 ? [...rareMechanisms, ...pairsOf(rarelyMet)] : [];
  return [...always, ...rare, ...(seedCount >= 3_000 ? pairsOf(rarestMet) : [])];
}
