/**
 * A process for tests of the embedded store: it is killed, competes for a folder, or fills a disk.
 *
 * Arguments: what to do, the folder, and the epoch of partition 0 if another process has claimed it. Output: lines on stdout.
 */
import { once } from 'node:events';
import { writeSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { isSkerryError } from '../../core/errors.ts';
import type { Commit, Epoch, Store } from '../../runtime/store.ts';
import { openLmdb } from '../../runtime/stores/lmdb/store.ts';

const [what = '', folder = '', epochText = '0'] = process.argv.slice(2);
const entityCount = 8;

/** Writes synchronously, so that a line precedes a later SIGKILL. */
function say(line: string): void {
  writeSync(1, `${line}\n`);
}

/** Every part of the commit contains its version, which reveals a torn one. */
function commitOf(address: string, epoch: Epoch, expected: number, filler = 0): Commit {
  const version = expected + 1;
  const bytes = Buffer.from(String(version).padEnd(filler, ' '));
  const records = ['s', 't', 'p1', 'p2'].map((name) => [name, bytes] as const);
  const alternating = [`e${version % 2}`, bytes] as const;
  const gone = [`e${(version + 1) % 2}`, null] as const;
  const wakeBefore = expected === 0 ? undefined : expected;
  return {
    partition: 0,
    epoch,
    address,
    expected,
    version,
    head: bytes,
    records: [...records, alternating, gone],
    wakeBefore,
    wakeAt: version,
  };
}

async function versionOf(store: Store, address: string): Promise<number> {
  const [loaded] = await store.load([{ partition: 0, address }]);
  return loaded?.version ?? 0;
}

async function claimed(store: Store): Promise<Epoch> {
  const [claim] = await store.claim([0], `child ${process.pid}`);
  return claim?.epoch ?? 0;
}

/** Commits groups over a few entities forever, two groups at a time. Prints each group when it is acknowledged. */
async function commitForEver(): Promise<void> {
  const store = await openLmdb(folder);
  const epoch = await claimed(store);
  const worker = async (half: number): Promise<void> => {
    const addresses = Array.from({ length: entityCount / 2 }, (_, at) => `order/${half}-${at}`);
    for (let version = await versionOf(store, addresses[0] ?? ''); ; version += 1) {
      const outcomes = await store.commit(addresses.map((address) => commitOf(address, epoch, version)));
      if (outcomes.some((outcome) => outcome !== 'committed')) throw new Error(`refused: ${outcomes.join()}`);
      for (const address of addresses) say(`${address} ${version + 1}`);
    }
  };
  await Promise.all([worker(0), worker(1)]);
}

/** Raises the version of shared entities by commits that another process may make stale. Prints how many were accepted. */
async function increment(): Promise<void> {
  const store = await openLmdb(folder, { shared: true });
  let accepted = 0;
  for (let round = 0; round < 60; round += 1) {
    const addresses = Array.from({ length: 4 }, (_, at) => `counter/${at}`);
    const group = await Promise.all(
      addresses.map(async (address) => commitOf(address, Number(epochText), await versionOf(store, address))),
    );
    accepted += (await store.commit(group)).filter((outcome) => outcome === 'committed').length;
  }
  await store.close();
  say(`accepted ${accepted}`);
}

async function claimOnce(): Promise<void> {
  const store = await openLmdb(folder, { shared: true });
  say(`claimed ${await claimed(store)}`);
  await store.close();
}

/** Keeps the folder open until stdin ends. */
async function hold(): Promise<void> {
  const store = await openLmdb(folder, { owner: 'holder' });
  const epoch = await claimed(store);
  await store.commit([commitOf('order/1', epoch, 0)]);
  say('open');
  process.stdin.resume();
  await once(process.stdin, 'end');
  await store.close();
  say('closed');
}

/** Commits until the disk is full and prints the error; commits once more at the next line of stdin. */
async function fill(): Promise<void> {
  const store = await openLmdb(folder);
  const epoch = await claimed(store);
  let version = 0;
  for (let failure: unknown; failure === undefined; ) {
    failure = await commitBoth(store, epoch, version).then(
      () => undefined,
      (error: unknown) => error,
    );
    if (failure === undefined) version += 1;
    else say(isSkerryError(failure) ? `failed ${failure.code} ${failure.effect}` : `unexpected ${String(failure)}`);
  }
  say(`acknowledged ${version}, found ${await versionOf(store, 'order/a')} ${await versionOf(store, 'order/b')}`);
  await once(process.stdin, 'data');
  const found = await versionOf(store, 'order/a');
  await commitBoth(store, epoch, found).then(
    () => say('committed'),
    (error: unknown) => say(`unexpected ${String(error)}`),
  );
  say(`then ${(await versionOf(store, 'order/a')) - found}`);
  await store.close();
  process.stdin.destroy();
}

/** Two calls at once, one of which also grows the folder with records that stay. */
async function commitBoth(store: Store, epoch: Epoch, version: number): Promise<void> {
  const grown = commitOf('order/a', epoch, version, 20_000);
  const more = [`p-${version}`, Buffer.alloc(200_000, version & 255)] as const;
  const calls = [
    store.commit([{ ...grown, records: [...grown.records, more] }]),
    store.commit([commitOf('order/b', epoch, version)]),
  ];
  const failed = (await Promise.allSettled(calls)).find((call) => call.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
}

/** Exits (unless idle) while LMDB's thread has a transaction open and waits for this thread's writes. */
async function endInCommit(): Promise<void> {
  const store = await openLmdb(folder);
  const epoch = await claimed(store);
  if (epochText === 'idle') {
    await store.commit([commitOf('order/1', epoch, 0)]);
    process.exit(3);
  }
  void store.commit([commitOf('order/1', epoch, 0)]);
  // The first turn of the event loop starts the transaction; by the end of the pause it is open.
  await new Promise((resolve) => process.nextTick(resolve));
  await new Promise((resolve) => setImmediate(resolve));
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100);
  say('ending');
  if (epochText === 'throw') throw new Error('uncaught');
  process.exit(3);
}

/**
 * Commits on the line 'commit', and sets its clock on the line 'at <ms>'. Prints what it has done.
 */
async function obey(): Promise<void> {
  let now = 0;
  const store = await openLmdb(folder, { steady: () => now });
  const epoch = await claimed(store);
  let version = await versionOf(store, 'order/1');
  say(`open at ${version}`);
  for await (const line of createInterface({ input: process.stdin })) {
    const [order, ms] = line.split(' ');
    if (order === 'at') now = Number(ms);
    else await store.commit([commitOf('order/1', epoch, version++)]);
    say(`version ${version}`);
  }
  await store.close();
}

const deeds: Record<string, () => Promise<void>> = {
  commitForEver,
  increment,
  claimOnce,
  hold,
  fill,
  endInCommit,
  obey,
};
await deeds[what]?.();
