/**
 * Caution: what may have ended its worker's process is noted in the store before it runs again, so that its tries are
 * counted also where no turn came back (a process that exits, runs out of memory, or spins until somebody ends it).
 *
 *     claim after an unclean end ─▶ for `cautionMs`: note what waits ─▶ durable ─▶ run ─▶ the note goes with the turn
 *     note of an earlier claim   ─▶ one end more ─▶ note again, alone in its worker ─▶ run      … ─▶ buried
 *
 * Owns the notes (`trial` records) and who may run alone. A worker whose partitions all came to it in order pays nothing: a
 * partition's owner says in the store that it ended, or hands it over.
 *
 * Invariants:
 * - CN1 In a partition that was claimed after an unclean end nothing durable runs within `cautionMs` of the claim before its note
 *   by this claim is durable; what has a note runs by a note of this claim only, whenever it comes.
 * - CN2 A note counts one end more only where an earlier claim's note of it is found and that claim ended uncleanly. What has an
 *   end runs alone in its worker, so that nothing else is blamed for it; after `fatalEndsMax` ends it is buried.
 * - CN3 A note goes when nobody can ask for its turn again, though nobody calls. However many there are, none runs for want of room
 *   without one.
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
  /** The record changed without a turn. */
  readonly commitAlone: (activation: Activation) => void;
  /** The activation can go on. */
  readonly ready: (activation: Activation) => void;
  readonly wakeBy: (activation: Activation, at: number) => void;
}

/** What to do with something that asks for a turn. */
export type Fate = 'run' | 'wait' | 'fatal';

/** Noted with one commit. */
const notesAtOnce = 64;
/** Notes of one entity. */
const noteCountMax = 256;
/** A process that ends each time is started again within this, ms. */
const noteMs = 3_600_000;
const never = Number.POSITIVE_INFINITY;
/** Whoever waits to run alone looks again after this, ms: mostly it is told. */
const aloneMs = 100;
/** Whoever runs alone is not waited for longer than this, ms. */
const aloneMsMax = 5_000;

export class CrashNotes {
  readonly #parts: CrashNotesParts;
  /** Who runs alone, and what makes its turn durable. */
  #alone: { readonly activation: Activation; readonly since: number; batch: Batch | undefined } | undefined;
  readonly #waiting: Activation[] = [];
  #isLooking = false;

  constructor(parts: CrashNotesParts) {
    this.#parts = parts;
  }

  /** An activation that has been loaded: whether its turns must be asked for. */
  watch(activation: Activation): void {
    if (activation.behaviour.durability !== 'turn') return;
    const { environment, ownership } = this.#parts;
    const isCautious = environment.steady() < ownership.cautiousUntil(activation.partition);
    activation.beCautious(isCautious || activation.entity.trials.size > 0);
  }

  /**
   * Whether it may run now. If not it has been noted, or has to wait for its turn to run alone, and is asked for again. `own`: its
   * key, if it is no message and no query.
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
    if (ends >= limits.fatalEndsMax) return 'fatal';
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

  /** What waits beside it is noted with it, as far as there is room. */
  #noteWaiting(activation: Activation, epoch: number): void {
    const { trials } = activation.entity;
    for (const [key, item] of waitingFor(activation, this.#parts.environment.now())) {
      if (trials.size >= noteCountMax) return;
      if (!trials.has(key)) this.#note(activation, { key, ends: 0, epoch, until: this.#untilOf(item) });
    }
  }

  /**
   * Nothing runs without a note because there are many (CN1): what was noted by this claim and has not run is noted again when it is
   * asked for. Else one goes that an end has counted for least; that is said.
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

  /** From then on it is not run any more, whoever asks: by its own date, or since a process that ends is started again sooner. */
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
    // It was not wanted any more when its note was durable, or the store does not answer.
    if (this.#parts.environment.steady() - this.#alone.since > aloneMsMax) return false;
    // A turn of it that is not durable yet may be counted, if the next one ends the process.
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

  /** Whoever waits longest asks again. */
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

  /** It came back, however its turn ended: the note goes with the turn's commit, or soon. */
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

  /** A batch is durable: what was noted with it may run, and who ran alone with it has ended. */
  stored(activation: Activation, batch: Batch): void {
    if (!activation.isCautious) return;
    if (this.#alone?.activation === activation && this.#alone.batch === batch) this.#endAlone();
    if (activation.noting !== batch) return;
    activation.note(undefined);
    if (activation.phase !== 'reading') return;
    activation.goOn();
    this.#parts.ready(activation);
  }

  /** Notes of what cannot come again go; without any, and after its time, the entity runs as every other. */
  prune(activation: Activation): void {
    const now = this.#parts.environment.now();
    for (const [key, { until }] of activation.entity.trials) if (until <= now) this.#drop(activation, key);
    this.watch(activation);
  }
}

/** Names what asks for a turn, for as long as it may be asked for again. */
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

/** What waits for the same entity, or is due, will be asked for next. */
function waitingFor({ mailbox, entity }: Activation, now: number): (readonly [string, Item | undefined])[] {
  const found: (readonly [string, Item | undefined])[] = [];
  for (const item of mailbox.peek(notesAtOnce))
    if (item.kind === 'message' || item.kind === 'query') found.push([trialKey(item, ''), item]);
  for (const { request } of dueTurns(entity, now)) found.push([turnKey(request.part, request.id), undefined]);
  return found.slice(0, notesAtOnce);
}
