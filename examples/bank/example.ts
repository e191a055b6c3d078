/**
 * The bank as an example: clients that transfer, auditors beside them, and the comparison of every account with what clients were told.
 *
 * A client asks until it is told, with the transfer's id as idempotency key. So each transfer ends as done or as refused, and what every
 * account must hold in the end is known from outside.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { isSkerryError } from '../../core/index.ts';
import type { Cluster } from '../../runtime/index.ts';
import { type Chance, whole, zipf } from '../../runtime/testing/chance.ts';
import type { Example, Findings, Given, OwnOption, Story } from '../runner/example.ts';
import { wholeFrom } from '../runner/option-checks.ts';
import { untilTold } from '../runner/told.ts';
import { account } from './account.ts';
import { Audits } from './auditor.ts';
import { Account, type Share, type Statement } from './contracts.ts';
import { digestOf } from './digest.ts';

/** What workers host. */
export const behaviours = [account];

const endowment = 10_000;
const amountMost = 100;
const [sizeLeast, sizeMost] = [2, 64];
const picksMost = 4_000;
const settleMs = 60_000;

const options: Readonly<Record<string, OwnOption>> = {
  accounts: { value: '<n>', description: 'how many there are', default: '256', problem: wholeFrom(64, 1_000_000) },
  skew: {
    value: '<s>',
    description: 'Zipf: the n-th account is chosen 1/n^s as often as the first; 0: uniform',
    default: '0',
    problem: (text) => (Number(text) >= 0 && Number(text) <= 3 ? undefined : 'takes a number from 0 to 3'),
  },
  size: {
    value: '<n>',
    description: 'accounts a transfer, 2 to 64; 0: half of them 2, the others up to 64',
    default: '0',
    problem: (text) => (text === '0' ? undefined : wholeFrom(sizeLeast, sizeMost)(text)),
  },
  auditors: { value: '<n>', description: 'audits at once', default: '2', problem: wholeFrom(0, 16) },
};

export const bank: Example = {
  name: 'bank',
  summary: 'transfers over 2 to 64 accounts, audited while they go on',
  unit: 'transfers',
  app: import.meta.url,
  behaviours,
  options,
  open: openBank,
};

interface Expected {
  worth: number;
  count: number;
  digest: number;
}

async function openBank(given: Given): Promise<Story> {
  const { cluster, chance, options: texts, signal } = given;
  const count = Number(texts.accounts);
  // Of its own: a folder that is kept may hold another run's.
  const run = crypto.randomUUID().slice(0, 8);
  const accounts = Array.from({ length: count }, (_, index) => `${run}-${index + 1}`);
  const atOnce = 256;
  for (let at = 0; at < count; at += atOnce) {
    signal.throwIfAborted();
    const endow = (key: string) =>
      untilTold(() => cluster.entity(Account, key).endow({ amount: endowment }, { idempotencyKey: 'endowment' }));
    await Promise.all(accounts.slice(at, at + atOnce).map(endow));
  }
  const audits = new Audits(cluster, accounts, count * endowment);
  return new Bank({ cluster, run, accounts, chance, audits, given });
}

interface BankParts {
  readonly cluster: Cluster;
  readonly run: string;
  readonly accounts: readonly string[];
  readonly chance: Chance;
  readonly audits: Audits;
  readonly given: Given;
}

class Bank implements Story {
  readonly #parts: BankParts;
  readonly #pick: () => number;
  readonly #expected: ReadonlyMap<string, Expected>;
  readonly #refusals = new Map<string, number>();
  readonly #problems: string[] = [];
  #number = 0;
  #doneCount = 0;
  #sizes = 0;

  constructor(parts: BankParts) {
    this.#parts = parts;
    const { accounts, chance, given } = parts;
    this.#pick = zipf(accounts.length, chance, Number(given.options.skew));
    this.#expected = new Map(accounts.map((key) => [key, { worth: endowment, count: 0, digest: 0 }]));
  }

  async transact(): Promise<void> {
    const { cluster, run, given } = this.#parts;
    this.#number += 1;
    const transfer = `${run}-t${this.#number}`;
    const [hub = '', ...others] = this.#accountsOf(this.#size());
    const shares = this.#sharesOf(others);
    try {
      await untilTold(
        () => cluster.entity(Account, hub).transfer({ transfer, shares }, { idempotencyKey: transfer }),
        given.signal,
      );
    } catch (error) {
      if (!isSkerryError(error, 'refused')) throw error;
      this.#refusals.set(error.message, (this.#refusals.get(error.message) ?? 0) + 1);
      return;
    }
    this.#doneCount += 1;
    this.#sizes += others.length + 1;
    this.#expect(hub, transfer, -shares.reduce((sum, { amount }) => sum + amount, 0));
    for (const { account: key, amount } of shares) this.#expect(key, transfer, amount);
  }

  #expect(key: string, transfer: string, amount: number): void {
    const expected = this.#expected.get(key);
    if (expected === undefined) throw new Error(`${key} is no account of this bank`);
    expected.worth += amount;
    expected.count += 1;
    expected.digest += digestOf(transfer);
  }

  #size(): number {
    const { chance, given } = this.#parts;
    const size = Number(given.options.size);
    if (size > 0) return size;
    if (chance() < 0.5) return sizeLeast;
    // Each doubling of the size is as likely as the next.
    return Math.min(sizeMost, Math.floor(3 * (sizeMost / 3) ** chance()));
  }

  #accountsOf(size: number): string[] {
    const { accounts, chance } = this.#parts;
    const chosen = new Set<number>();
    for (let picks = 0; chosen.size < size; picks += 1)
      chosen.add(picks < picksMost ? this.#pick() : whole(chance, 0, accounts.length - 1));
    return [...chosen].map((index) => accounts[index] as string);
  }

  /** Of two accounts the hub pays; of more about half of the others, and the hub pays or receives the rest. */
  #sharesOf(others: readonly string[]): Share[] {
    const { chance } = this.#parts;
    const isPaying = () => others.length > 1 && chance() < 0.5;
    return others.map((key) => {
      const amount = whole(chance, 1, amountMost);
      return { account: key, amount: isPaying() ? -amount : amount };
    });
  }

  async beside(end: AbortSignal): Promise<void> {
    await this.#parts.audits.go(Number(this.#parts.given.options.auditors), end);
  }

  anyAddress(): string {
    return `${Account.type}/${this.#parts.accounts[this.#pick()]}`;
  }

  progress(): string {
    const { count, anomalies } = this.#parts.audits;
    return `${count} audits, ${anomalies.length === 0 ? 'all money found' : anomalies.at(-1)}`;
  }

  async finish(): Promise<Findings> {
    const { audits } = this.#parts;
    await audits.audit();
    const statements = await this.#settled();
    const notices = [...statements].flatMap(([hub, { notices: seen }]) => seen.map((one) => ({ hub, ...one })));
    for (const { hub, account: key, transfer, amount } of notices) {
      const [payer, payee] = [this.#expected.get(key), this.#expected.get(hub)];
      if (payer === undefined || payee === undefined) continue;
      payer.worth += amount;
      payer.count -= 1;
      payer.digest -= digestOf(transfer);
      payee.worth -= amount;
    }
    for (const [key, statement] of statements) this.#problems.push(...this.#compare(key, statement));
    const refused = [...this.#refusals.values()].reduce((sum, each) => sum + each, 0);
    return {
      rows: [
        ['  done', this.#doneCount],
        ['  accounts each', (this.#sizes / Math.max(1, this.#doneCount)).toFixed(1)],
        ...[...this.#refusals].map(([reason, each]): [string, number] => [`  refused: ${reason}`, each]),
        ['audits', audits.count],
        ['  changes under way at a cut', Math.round(audits.lateCount / Math.max(1, audits.count))],
        ['broken, with notice', notices.length],
      ],
      facts: {
        accounts: statements.size,
        skew: Number(this.#parts.given.options.skew),
        done: this.#doneCount,
        refused,
        audits: audits.count,
        underWayAtCut: Math.round(audits.lateCount / Math.max(1, audits.count)),
        broken: notices.length,
      },
      anomalies: [...audits.anomalies, ...this.#problems],
    };
  }

  /** What all accounts say once none holds anything; as they are if that takes too long. */
  async #settled(): Promise<Map<string, Statement>> {
    const startedMs = performance.now();
    for (;;) {
      const { cluster, accounts } = this.#parts;
      const statements = new Map<string, Statement>();
      for (const key of accounts) statements.set(key, await untilTold(() => cluster.entity(Account, key).statement()));
      const isStill = [...statements.values()].every(({ held, open }) => held === 0 && open === 0);
      if (isStill || performance.now() - startedMs > settleMs) return statements;
      await pause(200);
    }
  }

  #compare(key: string, { worth, held, count, digest, open }: Statement): string[] {
    const { worth: expected, count: times, digest: sum } = this.#expected.get(key) as Expected;
    const problems: string[] = [];
    if (worth !== expected) problems.push(`${key} has ${worth}; its clients were told of ${expected}`);
    if (count !== times || digest !== sum)
      problems.push(`${key} was changed by ${count} transfers, not by the ${times} that were told done`);
    if (held !== 0 || open !== 0) problems.push(`${key} still holds ${held} for ${open} transfers`);
    return problems;
  }
}
