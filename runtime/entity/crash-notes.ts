/**
 * Crash notes: a message that may have crashed its worker's process is noted in the store before it runs again, so that tries are
 * counted even if no turn returned (the process exits, runs out of memory, or spins until it is killed).
 *
 *     claim after a crash        ─▶ for `cautionMs`: note what waits ─▶ durable ─▶ run ─▶ the note goes with the turn
 *     note of an earlier claim   ─▶ one crash more ─▶ note again, alone in its worker ─▶ run      … ─▶ dead letter
 *
 * Owns the notes (`trial` records), and decides which message runs alone. A worker that got all its partitions in order pays
 * nothing: the former owner has recorded its orderly end in the store, or handed the partition off.
 *
 * Invariants:
 * - CN1 In a partition claimed after a crash, no durable message runs within `cautionMs` of the claim before its note by this claim
 *   is durable. A message with a note runs only by a note of this claim, whenever it comes.
 * - CN2 A note counts one crash more only if it is from an earlier claim that ended in a crash. A message with a crash runs alone in
 *   its worker, so that no other message is blamed. After `fatalEndsMax` crashes in which it ran alone it becomes a dead letter.
 * - CN3 A note is removed when its turn can no longer be requested. However many notes there are, no message runs without one for
 *   want of room.
 */
import type { Limits } from '../../core/limits.ts';
import { isKeyPartner } from '../../core/message.ts';
import { dropPart, putPart, type Trial } from '../../core/record.ts';
import { dueTurns, turnKey } from '../../core/turn-parts.ts';
import type { Environment } from '../environment.ts';
import type { Activation } from './activation.ts';
import type { Batch } from './batch.ts';
import type { Item } from './mailbox.ts';
import type { Ownership } from './ownership.ts';

export interface CrashNotesParts {
  readonly environment: Environment;
  readonly limits: Limits;
  readonly ownership: Ownership;
  /** Called when the record changed without a turn. */
  readonly commitAlone: (activation: Activation) => void;
  /** Called when the activation can continue. */
  readonly ready: (activation: Activation) => void;
  readonly wakeBy: (activation: Activation, at: number) => void;
}

/** What to do with a request for a turn. */
export type Fate = 'run' | 'wait' | 'fatal';

/** Most notes of one commit. */
const notesAtOnce = 64;
/** Most notes of one entity. */
const noteCountMax = 256;
/** Within this time a crashing process is started again, ms. */
const noteMs = 3_600_000;
const never = Number.POSITIVE_INFINITY;
/** Interval at which a message that waits to run alone checks again, ms; usually it is notified. */
const aloneMs = 100;
/** Maximum time for which a message runs alone, ms. */
const aloneMsMax = 5_000;

export class CrashNotes {
  readonly #parts: CrashNotesParts;
  /** The message that runs alone, and the batch that makes its turn durable. */
  #alone: { readonly activation: Activation; readonly since: number; batch: Batch | undefined } | undefined;
  readonly #waiting: Activation[] = [];
  #isLooking = false;

  constructor(parts: CrashNotesParts) {
    this.#parts = parts;
  }

  /** An activation was loaded: decides whether its turns need permission. */
  watch(activation: Activation): void {
    if (activation.behaviour.durability !== 'turn') return;
    const { environment, ownership } = this.#parts;
    const isCautious = environment.steady() < ownership.cautiousUntil(activation.partition);
    activation.beCautious(isCautious || activation.entity.trials.size > 0);
  }

  /**
   * Whether it may run now. If not, it has been noted or waits to run alone, and will be requested again. `own`: its key, if it is
   * neither message nor query.
   */
  ask(activation: Activation, item: Item, own: string): Fate {
    const { ownership, environment, limits } = this.#parts;
    const key = trialKey(item, own);
    const { entity, partition } = activation;
    const epoch = ownership.epochOf(partition);
    const known = entity.trials.get(key);
    if (known?.epoch === epoch) return this.#mayRun(activation, known);
    const isCautious = environment.steady() < ownership.cautiousUntil(partition);
    if (known === undefined && !isCautious) {
      this.prune(activation);
      return 'run';
    }
    const ends = known === undefined ? 0 : known.ends + (ownership.cautiousUntil(partition) > 0 ? 1 : 0);
    // The first counted crash made it a suspect, beside all that ran with it. It has run alone in each one after that.
    if (ends > limits.fatalEndsMax) return 'fatal';
    if (ends > 0 && this.#isTaken(activation)) return this.#queue(activation);
    if (known === undefined) this.#makeRoom(activation, epoch);
    this.#note(activation, { key, ends, epoch, until: this.#untilOf(item) });
    if (ends > 0) this.#alone = { activation, since: environment.steady(), batch: undefined };
    else this.#noteWaiting(activation, epoch);
    activation.pause();
    this.#parts.commitAlone(activation);
    activation.note(activation.gathering);
    return 'wait';
  }

  /** Notes the items that wait beside it too, as far as there is room. */
  #noteWaiting(activation: Activation, epoch: number): void {
    const { trials } = activation.entity;
    for (const [key, item] of waitingFor(activation, this.#parts.environment.now())) {
      if (trials.size >= noteCountMax) return;
      if (!trials.has(key)) this.#note(activation, { key, ends: 0, epoch, until: this.#untilOf(item) });
    }
  }

  /**
   * Makes room for a note (CN1): a note of this claim that has not run is dropped and made again on request. Otherwise the note with
   * the fewest crashes is dropped, and that is logged.
   */
  #makeRoom(activation: Activation, epoch: number): void {
    const { trials } = activation.entity;
    if (trials.size >= noteCountMax) this.prune(activation);
    if (trials.size < noteCountMax) return;
    const worth = (trial: Trial) => trial.ends + (trial.epoch === epoch && trial.ends === 0 ? 0 : 1);
    let least: Trial | undefined;
    for (const trial of trials.values()) if (least === undefined || worth(trial) < worth(least)) least = trial;
    if (least === undefined) return;
    this.#drop(activation, least.key);
    if (worth(least) > 0)
      this.#parts.environment.log.warn(
        { entity: activation.address, notes: noteCountMax, ends: least.ends },
        'an entity has too many notes of messages that may have ended a process: one of them is counted anew',
      );
  }

  /** When it stops being run, by its own dates, and long enough for a crashing process to restart. */
  #untilOf(item: Item | undefined): number {
    const { environment, limits } = this.#parts;
    return Math.ceil(Math.min(environment.now() + noteMs, lastOf(item) + limits.skewMaxMs));
  }

  #mayRun(activation: Activation, { ends }: Trial): Fate {
    if (ends === 0) return 'run';
    if (this.#isTaken(activation)) return this.#queue(activation);
    this.#alone = { activation, since: this.#parts.environment.steady(), batch: undefined };
    return 'run';
  }

  #isTaken(activation: Activation): boolean {
    if (this.#alone === undefined || this.#alone.activation.phase === 'dropped') return false;
    // It was no longer wanted when its note became durable, or the store does not answer.
    if (this.#parts.environment.steady() - this.#alone.since > aloneMsMax) return false;
    // A turn of it that is not durable yet may be counted if the next one crashes the process.
    return this.#alone.activation !== activation || this.#alone.batch !== undefined;
  }

  #queue(activation: Activation): Fate {
    activation.pause();
    this.#waiting.push(activation);
    this.#lookAgain();
    return 'wait';
  }

  #lookAgain(): void {
    if (this.#isLooking || this.#waiting.length === 0) return;
    this.#isLooking = true;
    this.#parts.environment.after(aloneMs, () => {
      this.#isLooking = false;
      this.#next();
      this.#lookAgain();
    });
  }

  /** The one that waits longest is requested again. */
  #next(): void {
    while (this.#waiting[0] !== undefined && this.#waiting[0].phase !== 'reading') this.#waiting.shift();
    const activation = this.#waiting[0];
    if (activation === undefined || this.#isTaken(activation)) return;
    this.#waiting.shift();
    activation.goOn();
    this.#parts.ready(activation);
  }

  #note(activation: Activation, trial: Trial): void {
    putPart(activation.entity, 'trials', trial);
  }

  /** Its turn returned, however it ended: the note is removed with the turn's commit, or soon. */
  ran(activation: Activation, key: string): void {
    const { entity, gathering } = activation;
    if (!entity.trials.has(key)) return;
    this.#drop(activation, key);
    if (this.#alone?.activation !== activation) return;
    this.#alone.batch = gathering;
    if (gathering === undefined) this.#endAlone();
  }

  #drop(activation: Activation, key: string): void {
    const { environment, limits, wakeBy } = this.#parts;
    dropPart(activation.entity, 'trials', key);
    if (activation.gathering !== undefined) return;
    if (activation.planWrite(environment.now() + limits.trimIdleMs)) wakeBy(activation, activation.writeAt);
  }

  #endAlone(): void {
    this.#alone = undefined;
    this.#next();
  }

  /** A batch is durable: messages noted with it may run, and a message that ran alone is done. */
  stored(activation: Activation, batch: Batch): void {
    if (!activation.isCautious) return;
    if (this.#alone?.activation === activation && this.#alone.batch === batch) this.#endAlone();
    if (activation.noting !== batch) return;
    activation.note(undefined);
    if (activation.phase !== 'reading') return;
    activation.goOn();
    this.#parts.ready(activation);
  }

  /** Removes notes of messages that cannot come again. Without notes, and after the time of caution, the entity runs normally. */
  prune(activation: Activation): void {
    const now = this.#parts.environment.now();
    for (const [key, { until }] of activation.entity.trials) if (until <= now) this.#drop(activation, key);
    this.watch(activation);
  }
}

/** The key of a request for a turn, for as long as it may be repeated. */
export function trialKey(item: Item, own: string): string {
  if (item.kind === 'query') return `q:${item.replyTo} ${item.call}`;
  if (item.kind !== 'message') return own;
  const { session, seq } = item.arrival;
  return `m:${item.from}\0${session}.${seq}`;
}

/** Until when it may be run, ms. A call under an idempotency key comes again with other dates. */
function lastOf(item: Item | undefined): number {
  if (item?.kind === 'query') return item.deadline;
  return item?.kind === 'message' && !isKeyPartner(item.from) ? item.arrival.expires : never;
}

/** Items that wait for the same entity, or are due, will be requested next. */
function waitingFor({ mailbox, entity }: Activation, now: number): (readonly [string, Item | undefined])[] {
  const found: (readonly [string, Item | undefined])[] = [];
  for (const item of mailbox.peek(notesAtOnce))
    if (item.kind === 'message' || item.kind === 'query') found.push([trialKey(item, ''), item]);
  for (const { request } of dueTurns(entity, now)) found.push([turnKey(request.part, request.id), undefined]);
  return found.slice(0, notesAtOnce);
}
