/**
 * The load: loops that call, think, and call again, each with one call under way, until they are told to stop.
 *
 * Owns what is asked for. Tallies have a loop each, so that every key of them is called all the time.
 */
import { addressOf } from '../../core/message.ts';
import type { RemoteCluster } from '../../runtime/connect.ts';
import { Account, Desk, Notice, Tally } from './app.ts';
import type { Journal } from './journal.ts';
import { countOf } from './numbers.ts';
import { sleep } from './program.ts';

export interface LoadOptions {
  /** Keys of tallies. */
  readonly tallies: number;
  /** Loops that call tallies; each goes round its share of the keys. */
  readonly loops: number;
  /** Pause of a loop between two calls, ms. */
  readonly thinkMs: number;
  readonly deadlineMs: number;
  /** Whether accounts and desks are called too, which send messages to others. */
  readonly sendsMessages: boolean;
}

export const accountCount = 16;
export const deskCount = 8;
export const shelfCount = 4;
/** Of the loops that send messages, which cost several turns each. */
const slowly = 5;

export const tallyKey = (index: number) => `t${index}`;
export const accountKey = (index: number) => `a${index}`;
export const deskKey = (index: number) => `d${index}`;
export const shelfKey = (index: number) => `s${index}`;

type Step = (round: number) => Promise<void>;

export class Load {
  readonly #cluster: RemoteCluster;
  readonly #journal: Journal;
  readonly #options: LoadOptions;
  #loops: Promise<void>[] = [];
  #isOn = false;

  constructor(cluster: RemoteCluster, journal: Journal, options: LoadOptions) {
    this.#cluster = cluster;
    this.#journal = journal;
    this.#options = options;
  }

  get addresses(): string[] {
    return Array.from({ length: this.#options.tallies }, (_, index) => addressOf(Tally.type, tallyKey(index)));
  }

  start(): void {
    const { loops, tallies, thinkMs } = this.#options;
    this.#isOn = true;
    for (let loop = 0; loop < loops; loop += 1) {
      const mine = this.#share(loop, loops, tallies);
      this.#run(thinkMs, (round) => this.#tally(mine[round % mine.length] as number, round));
    }
    if (!this.#options.sendsMessages) return;
    for (let index = 0; index < accountCount; index += 1)
      this.#run(thinkMs * slowly, (round) => this.#pay(index, round));
    for (let index = 0; index < deskCount; index += 1) this.#run(thinkMs * slowly, (round) => this.#buy(index, round));
  }

  #share(loop: number, loops: number, tallies: number): number[] {
    const keys = Array.from({ length: tallies }, (_, index) => index);
    return keys.filter((index) => index % loops === loop);
  }

  /** The type that only the second version of the app hosts. */
  startNotices(): void {
    this.#run(this.#options.thinkMs, () => this.#notice());
  }

  #run(thinkMs: number, step: Step): void {
    const loop = async () => {
      // Not all at once.
      await sleep(Math.random() * thinkMs);
      for (let round = 0; this.#isOn; round += 1) {
        await step(round);
        if (thinkMs > 0) await sleep(thinkMs * (0.75 + Math.random() / 2));
      }
    };
    this.#loops.push(loop());
  }

  /** Resolves when every call has ended: at the latest with its deadline. */
  async stop(): Promise<void> {
    this.#isOn = false;
    await Promise.all(this.#loops);
    this.#loops = [];
  }

  async #change(
    address: string,
    call: (n: number, options: { deadlineMs: number }) => Promise<unknown>,
  ): Promise<void> {
    const ticket = this.#journal.begin(address);
    try {
      await call(ticket.n, this.#options);
      this.#journal.succeeded(ticket);
    } catch (error) {
      this.#journal.failed(ticket, error);
    }
  }

  async #tally(index: number, round: number): Promise<void> {
    const address = addressOf(Tally.type, tallyKey(index));
    const one = this.#cluster.entity(Tally, tallyKey(index));
    if (round % 5 !== 4) return this.#change(address, (n, options) => one.add({ n }, options));
    const atLeast = countOf(this.#journal.askedOf(address).acknowledged);
    const ticket = this.#journal.beginQuery(address);
    try {
      const count = await one.count(undefined, this.#options);
      if (count < atLeast) this.#journal.staleCount += 1;
      this.#journal.succeeded(ticket);
    } catch (error) {
      this.#journal.failed(ticket, error);
    }
  }

  #pay(index: number, round: number): Promise<void> {
    const payer = this.#cluster.entity(Account, accountKey(index));
    const to = accountKey((index + 1 + (round % (accountCount - 1))) % accountCount);
    return this.#change(addressOf(Account.type, accountKey(index)), (n, options) =>
      payer.pay({ n, to, amount: 1 + (n % 7) }, options),
    );
  }

  #buy(index: number, round: number): Promise<void> {
    const buyer = this.#cluster.entity(Desk, deskKey(index));
    return this.#change(addressOf(Desk.type, deskKey(index)), (n, options) =>
      buyer.buy({ n, shelf: shelfKey(round % shelfCount) }, options),
    );
  }

  #notice(): Promise<void> {
    const one = this.#cluster.entity(Notice, 'n0');
    return this.#change(addressOf(Notice.type, 'n0'), (n, options) => one.add({ n }, options));
  }
}
