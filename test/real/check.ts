/**
 * After the load: is all work finished, and does what the entities did equal what the outside client was told?
 *
 * Entities are asked by query; outboxes, holds and dead letters are looked up in the store.
 */
import { typeOf } from '../../core/message.ts';
import { Inspector } from '../../runtime/admin/inspector.ts';
import type { RemoteCluster } from '../../runtime/connect.ts';
import type { Store } from '../../runtime/store.ts';
import { Account, Desk, Notice, Shelf, shelfUnits, Tally } from './app.ts';
import type { Asked, Journal } from './journal.ts';
import { accountCount, accountKey, deskCount, deskKey, shelfCount, shelfKey } from './load.ts';
import { countOf, missing, type Numbers, shared } from './numbers.ts';
import { until } from './program.ts';

export interface Verdict {
  readonly operations: number;
  readonly acknowledged: number;
  /** Of unknown effect to the client; how many of them happened. */
  readonly unknown: number;
  readonly unknownHappened: number;
  /** Acknowledged and not in. */
  readonly lost: number;
  /** Performed a second time. */
  readonly doubled: number;
  /** Performed although never asked for, or although the client was told that nothing happened. */
  readonly wrong: number;
  /** Queries that showed less than had been acknowledged before. */
  readonly stale: number;
  readonly failed: number;
  /** Messages between entities. */
  readonly sent: number;
  readonly received: number;
  readonly disordered: number;
  /** What does not add up, in words; empty: all is well. */
  readonly problems: readonly string[];
  /** How long the last work took to finish after the load had ended, ms. */
  readonly finishedMs: number;
}

const finishMs = 60_000;
const options = { deadlineMs: 20_000 };

export interface Checked {
  readonly cluster: RemoteCluster;
  readonly store: Store;
  readonly journal: Journal;
}

export async function check(checked: Checked): Promise<Verdict> {
  const startedAt = performance.now();
  const problems: string[] = [];
  let open: string[] = [];
  const isFinished = await until(
    async () => {
      open = await openWork(checked.store);
      return open.length === 0;
    },
    finishMs,
    100,
  );
  const finishedMs = performance.now() - startedAt;
  if (!isFinished) problems.push(`unfinished after ${finishMs} ms: ${open.slice(0, 10).join('; ')} (${open.length})`);
  const operations = await compareAll(checked, problems);
  const messages = await compareMessages(checked.cluster, problems);
  const { failureCount, staleCount } = checked.journal;
  if (staleCount > 0) problems.push(`${staleCount} queries were stale`);
  return { ...operations, ...messages, stale: staleCount, failed: failureCount, problems, finishedMs };
}

/** What the store says is not done yet. */
async function openWork(store: Store): Promise<string[]> {
  const inspector = new Inspector(store);
  const open: string[] = [];
  for await (const address of inspector.list()) {
    const found = await inspector.get(address, { activityCountMax: 0 });
    if (found === undefined) continue;
    const counts = { outbox: found.outbox.length, holds: found.holds.length, dead: found.dead.length };
    for (const [what, count] of Object.entries(counts)) if (count > 0) open.push(`${address} ${what} ${count}`);
  }
  return open;
}

async function reportOf(
  cluster: RemoteCluster,
  address: string,
): Promise<{ seen: Numbers; count: number; twice: number }> {
  const [type, key] = [typeOf(address), address.slice(address.indexOf('/') + 1)];
  if (type === Tally.type) return cluster.entity(Tally, key).report(undefined, options);
  if (type === Account.type) return cluster.entity(Account, key).report(undefined, options);
  if (type === Desk.type) return cluster.entity(Desk, key).report(undefined, options);
  return cluster.entity(Notice, key).report(undefined, options);
}

async function compareAll({ cluster, journal }: Checked, problems: string[]) {
  const sum = { operations: 0, acknowledged: 0, unknown: 0, unknownHappened: 0, lost: 0, doubled: 0, wrong: 0 };
  for (const [address, asked] of journal.asked) {
    const { seen, count, twice } = await reportOf(cluster, address);
    const of = compare(asked, seen);
    sum.operations += asked.issued;
    sum.acknowledged += countOf(asked.acknowledged);
    sum.unknown += countOf(asked.unknown);
    sum.unknownHappened += of.unknownHappened;
    sum.lost += of.lost.length;
    sum.doubled += twice;
    sum.wrong += of.wrong.length;
    if (of.lost.length > 0) problems.push(`${address} lost ${of.lost.slice(0, 10).join(' ')}`);
    if (twice > 0) problems.push(`${address} did ${twice} twice`);
    if (of.wrong.length > 0)
      problems.push(`${address} did ${of.wrong.slice(0, 10).join(' ')}, which nobody may expect`);
    const expected = countOf(asked.acknowledged) - of.lost.length + of.unknownHappened + of.wrong.length + twice;
    if (count !== expected) problems.push(`${address} counts ${count}, the journal ${expected}`);
  }
  return sum;
}

/** What an entity performed, against what was asked of it and answered. */
export function compare({ issued, acknowledged, unknown, without }: Asked, seen: Numbers) {
  const neverAsked = missing(seen, issued === 0 ? [] : [[1, issued]]);
  return {
    lost: missing(acknowledged, seen),
    unknownHappened: shared(unknown, seen).length,
    wrong: [...neverAsked, ...shared(without, seen)],
  };
}

async function compareMessages(cluster: RemoteCluster, problems: string[]) {
  const keys = (count: number, keyOf: (index: number) => string) =>
    Array.from({ length: count }, (_, index) => keyOf(index));
  const accounts = await Promise.all(
    keys(accountCount, accountKey).map((key) => cluster.entity(Account, key).report(undefined, options)),
  );
  const desks = await Promise.all(
    keys(deskCount, deskKey).map((key) => cluster.entity(Desk, key).report(undefined, options)),
  );
  const shelves = await Promise.all(
    keys(shelfCount, shelfKey).map((key) => cluster.entity(Shelf, key).report(undefined, options)),
  );
  const total = <Row>(rows: readonly Row[], of: (row: Row) => number) => rows.reduce((sum, row) => sum + of(row), 0);
  const balance = total(accounts, (one) => one.balance);
  const [sent, received] = [total(accounts, (one) => one.paid), total(accounts, (one) => one.got)];
  const disordered = total(accounts, (one) => one.disordered);
  const [bought, sold] = [total(desks, (one) => one.bought), total(shelves, (one) => one.sold)];
  const open = total(desks, (one) => one.open);
  const stray = shelves.filter(({ free, held, sold: gone }) => held !== 0 || free + gone !== shelfUnits).length;
  if (balance !== 0) problems.push(`balances sum to ${balance}`);
  if (sent !== received) problems.push(`${sent} payments sent, ${received} received`);
  if (disordered > 0) problems.push(`${disordered} payments out of order`);
  if (bought !== sold || open !== 0 || stray !== 0)
    problems.push(
      `desks bought ${bought}, shelves sold ${sold}; ${open} purchases open; ${stray} shelves do not add up`,
    );
  return { sent, received, disordered };
}
