/** Auditors: count the bank's money again and again, beside the transfers and beside each other. Each must find all of it. */
import { setTimeout as pause } from 'node:timers/promises';
import type { Cluster } from '../../runtime/index.ts';
import { untilTold } from '../runner/told.ts';
import { Account } from './contracts.ts';
import { type Note, sumOf } from './cut.ts';

const atOnce = 64;
/** Between two audits of one auditor, and between two looks at notes in which changes are missing, ms. */
const [restMs, lookMs] = [500, 100];
/** Nothing is under way for longer: a transfer is decided within 10 s, and a worker is back within seconds. */
const patienceMs = 90_000;

export class Audits {
  readonly #cluster: Cluster;
  readonly #accounts: readonly string[];
  readonly #total: number;
  readonly anomalies: string[] = [];
  /** Those that are over, and changes that were under way when they cut through. */
  count = 0;
  lateCount = 0;
  #last = 0;
  readonly #running = new Set<number>();

  constructor(cluster: Cluster, accounts: readonly string[], total: number) {
    this.#cluster = cluster;
    this.#accounts = accounts;
    this.#total = total;
  }

  async go(auditors: number, end: AbortSignal): Promise<void> {
    const auditor = async () => {
      while (!end.aborted) {
        await this.audit();
        await pause(restMs, undefined, { signal: end }).catch(() => undefined);
      }
    };
    await Promise.all(Array.from({ length: auditors }, auditor));
  }

  async audit(): Promise<void> {
    this.#last += 1;
    const audit = this.#last;
    this.#running.add(audit);
    const done = Math.min(...this.#running) - 1;
    await this.#each((account) => untilTold(() => this.#cluster.entity(Account, account).meetAudit({ audit, done })));
    const sums = await this.#sums(audit);
    this.#running.delete(audit);
    this.count += 1;
    if (sums === undefined) this.anomalies.push(`audit ${audit}: changes are missing after ${patienceMs / 1_000} s`);
    else if (sums.worth !== this.#total) this.anomalies.push(`audit ${audit} found ${sums.worth} of ${this.#total}`);
    this.lateCount += sums?.late ?? 0;
  }

  /** What an audit finds, when nothing of it is under way any more. */
  async #sums(audit: number): Promise<ReturnType<typeof sumOf>> {
    const startedMs = performance.now();
    for (;;) {
      const notes: Note[] = [];
      await this.#each(async (account) => {
        const note = await untilTold(() => this.#cluster.entity(Account, account).note({ audit }));
        if (note === undefined) throw new Error(`${account} has no note of audit ${audit}, which it has met`);
        notes.push(note);
      });
      const sums = sumOf(notes);
      if (sums !== undefined || performance.now() - startedMs > patienceMs) return sums;
      await pause(lookMs);
    }
  }

  async #each(act: (account: string) => Promise<void>): Promise<void> {
    // They do not go round in step with each other.
    const offset = (this.#last * 7919) % this.#accounts.length;
    const accounts = [...this.#accounts.slice(offset), ...this.#accounts.slice(0, offset)];
    for (let at = 0; at < accounts.length; at += atOnce) await Promise.all(accounts.slice(at, at + atOnce).map(act));
  }
}
