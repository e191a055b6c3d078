/**
 * The outflow: how much is on its way to a server that has not said it got that far.
 *
 * The client library keeps what a slow server does not take, without bound; so what would pass a bound is not given to it.
 * The measure: every so many bytes the server is asked for a sign of life, which it answers when it has read all before it.
 *
 * Invariants:
 * - OF1 At most `bytesMax` are on their way, or one frame.
 * - OF2 A server that answers nothing for `silenceCountMax` looks in a row is taken for gone. Looks are counted, not timed:
 *   a process that slept itself looks once when it wakes, before it has read what came meanwhile.
 */

/** Bytes after which the server is asked; small beside any bound, large beside the question. */
const askBytes = 65_536;
const silenceCountMax = 4;

export class Outflow {
  readonly #bytesMax: number;
  #bytes = 0;
  #askedBytes = 0;
  #isAsked = false;
  #silenceCount = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Whether a frame may go; if so it counts. */
  admit(bytes: number): boolean {
    if (this.#bytes > 0 && this.#bytes + bytes > this.#bytesMax) return false;
    this.#bytes += bytes;
    return true;
  }

  get isToAsk(): boolean {
    return !this.#isAsked && this.#bytes >= askBytes;
  }

  /** The server is being asked, after everything that was admitted so far. */
  ask(): void {
    this.#isAsked = true;
    this.#askedBytes = this.#bytes;
    this.#silenceCount = 0;
  }

  answered(): void {
    this.#isAsked = false;
    this.#bytes -= this.#askedBytes;
    this.#silenceCount = 0;
  }

  /** From time to time: what is to be done about the server. */
  look(): 'ask' | 'wait' | 'gone' {
    if (!this.#isAsked) return 'ask';
    this.#silenceCount += 1;
    return this.#silenceCount < silenceCountMax ? 'wait' : 'gone';
  }
}
