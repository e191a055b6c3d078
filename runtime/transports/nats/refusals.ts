/**
 * What a server does not permit to a login: told to who asks about it, else logged, once. So is a login that is not taken again
 * after the connection was lost.
 *
 * Owns the words. They never ask to give this login more rights: mostly it is the wrong login, and who gave a client those of a
 * gateway to be rid of the line would have it call in anybody's name.
 */
import { errorText } from '../../../core/errors.ts';
import type { Log } from '../../log.ts';
import { TransportRefused } from '../../transport.ts';

const countMax = 100;
const loginRefused =
  'NATS refuses this login, which it accepted before: use a login that it accepts, or permit this login again';
const advice = "use a login that may: 'skerry permissions' prints the permissions of each login";

type TellRefused = (reason: string, lostMs: number) => void;

export class NatsRefusals {
  readonly #log: Log;
  readonly #said = new Set<string>();
  /** Subjects of which somebody asks whether this login may send there, and what came of it. */
  readonly #asked = new Map<string, string | undefined>();
  #askerCount = 0;
  readonly #tellers = new Set<TellRefused>();
  /** Of the tries for a connection that was lost: how many in a row were refused, and what the log says of the last. */
  #inRow = 0;
  #reason = '';

  constructor(log: Log) {
    this.#log = log;
  }

  /** Until `answerOf`, what is refused of this subject, and of what is listened to, is not logged. */
  ask(subject: string): void {
    this.#askerCount += 1;
    if (subject !== '') this.#asked.set(subject, undefined);
  }

  /** Why nothing can be sent there; undefined: it can. */
  answerOf(subject: string): string | undefined {
    const answer = this.#asked.get(subject);
    this.#asked.delete(subject);
    this.#askerCount -= 1;
    return answer;
  }

  onRefused(tell: TellRefused): () => void {
    this.#tellers.add(tell);
    return () => void this.#tellers.delete(tell);
  }

  /** The connection is there. */
  admitted(): void {
    this.#inRow = 0;
    this.#reason = '';
  }

  /** A try for a connection that was lost failed. It is the login only if every server says so: one alone may be set up wrongly. */
  notAdmitted(error: unknown, serverCount: number, lostMs: number): void {
    const reason = errorText(error);
    this.#inRow = error instanceof TransportRefused ? this.#inRow + 1 : 0;
    if (reason !== this.#reason) this.#log.warn({ reason }, 'NATS is not back yet');
    this.#reason = reason;
    if (this.#inRow < serverCount) return;
    if (this.#inRow === serverCount)
      this.#log.error({ reason }, `${loginRefused}. Skerry keeps trying; calls fail meanwhile`);
    for (const tell of [...this.#tellers]) tell(`${loginRefused} (${reason})`, lostMs);
  }

  publish(subject: string): void {
    const text = textOf('publish to', subject);
    if (this.#asked.has(subject)) this.#asked.set(subject, text);
    else this.#say(text, subject);
  }

  /** `isListening`: who asks looks at what is listened to, too. */
  subscribe(subject: string, isListening: boolean): string {
    const text = textOf('subscribe to', subject);
    if (!isListening || this.#askerCount === 0) this.#say(text, subject);
    return text;
  }

  #say(text: string, subject: string): void {
    if (this.#said.has(text) || this.#said.size >= countMax) return;
    this.#said.add(text);
    this.#log.error({ subject }, `${text}; ${advice}`);
  }
}

function textOf(what: string, subject: string): string {
  return `NATS does not let this login ${what} '${subject}'`;
}
