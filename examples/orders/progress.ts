/** Says on stderr how far the work is: one line that moves on a terminal, a line now and then elsewhere. */

const widthChars = 24;
const everyMs = { terminal: 100, elsewhere: 2_000 };

export class Progress {
  readonly #out: NodeJS.WriteStream;
  #label = '';
  #total: number | undefined;
  #startedMs = 0;
  #startedAt = 0;
  #saidMs = 0;
  #isLineOpen = false;

  constructor(out: NodeJS.WriteStream = process.stderr) {
    this.#out = out;
  }

  /** Begin a stretch of work of `total` steps (undefined: nobody knows), of which `from` are done already. */
  begin(label: string, total: number | undefined, from = 0): void {
    this.end();
    this.#label = label;
    this.#total = total;
    this.#startedAt = from;
    this.#startedMs = performance.now();
    this.#saidMs = this.#startedMs;
  }

  at(done: number, total = this.#total): void {
    this.#total = total;
    const now = performance.now();
    if (now - this.#saidMs < (this.#out.isTTY ? everyMs.terminal : everyMs.elsewhere) && done !== this.#total) return;
    this.#saidMs = now;
    const text = this.#text(done, Math.max(1, now - this.#startedMs));
    this.#out.write(this.#out.isTTY ? `\r\x1b[K${text}` : `${text}\n`);
    this.#isLineOpen = this.#out.isTTY;
  }

  /** Something that stays on the screen. */
  note(text: string): void {
    this.#out.write(this.#isLineOpen ? `\r\x1b[K${text}\n` : `${text}\n`);
    this.#isLineOpen = false;
  }

  end(): void {
    if (this.#isLineOpen) this.#out.write('\n');
    this.#isLineOpen = false;
  }

  #text(done: number, elapsedMs: number): string {
    const perSecond = ((done - this.#startedAt) * 1000) / elapsedMs;
    const rate = `${Math.round(perSecond).toLocaleString('en')}/s`;
    if (this.#total === undefined || this.#total === 0) return `${this.#label} ${done.toLocaleString('en')}  ${rate}`;
    const share = Math.min(1, done / this.#total);
    const bar = '█'.repeat(Math.round(share * widthChars)).padEnd(widthChars, '░');
    const left = perSecond > 0 ? `${Math.ceil((this.#total - done) / perSecond)} s left` : '';
    return `${this.#label} ${bar} ${done.toLocaleString('en')} of ${this.#total.toLocaleString('en')}  ${rate}  ${left}`;
  }
}
