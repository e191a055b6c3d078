/** Which copies of an embedded folder, put back, are noticed (runtime/stores/lmdb/witness.ts): real folders, copied while they are used. */
import { cp, mkdir, mkdtemp, readFile, rename, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Loss } from '../../runtime/store.ts';
import { type LmdbStep, openLmdb } from '../../runtime/stores/lmdb/store.ts';
import { claimed, commitOf } from '../conformance/store-given.ts';
import { Child } from '../support/child.ts';
import { assert, rejects, suite } from '../support/suite.ts';

const test = suite('witness of an embedded folder');
const children: Child[] = [];
test.after.each(async () => {
  for (const started of children.splice(0)) await started.kill();
});

async function withFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const parent = await mkdtemp(join(tmpdir(), 'skerry-'));
  await body(join(parent, 'data')).finally(() => rm(parent, { recursive: true }));
}

/** A process that uses a folder, as it is told. */
async function started(folder: string): Promise<{ tell(line: string): Promise<void>; kill(): Promise<unknown> }> {
  const child = new Child('./lmdb-child.ts', ['obey', folder]);
  children.push(child);
  assert.match((await child.line()) ?? '', /^open/);
  const tell = async (line: string): Promise<void> => {
    child.tell(line);
    assert.match((await child.line()) ?? '', /^version/);
  };
  return { tell, kill: () => child.kill() };
}

async function putBack(folder: string): Promise<void> {
  await rm(folder, { recursive: true });
  await cp(`${folder}.kept`, folder, { recursive: true });
}

/** What the next one to open the folder is told; the store is closed again. */
async function told(folder: string): Promise<Loss[]> {
  const losses: Loss[] = [];
  const store = await openLmdb(folder);
  store.onLoss?.((loss) => losses.push(loss));
  await store.close();
  return losses;
}

const noted = async (folder: string): Promise<number> =>
  JSON.parse(await readFile(`${folder}.witness`, 'utf8').catch(() => '{"uses":0}')).uses;

test('SW2, P8: a copy that was made in the middle of the work is noticed when it is put back after a SIGKILL', () =>
  withFolder(async (folder) => {
    for (const round of [1, 2, 3]) {
      const one = await started(folder);
      await one.tell('commit');
      await cp(folder, `${folder}.kept`, { recursive: true });
      await one.tell('commit');
      await one.tell('at 5000');
      await one.tell('commit');
      await one.kill();
      await putBack(folder);
      assert.is((await told(folder)).length, 1, `round ${round}`);
      assert.is((await told(folder)).length, 0, 'and not again');
      await rm(`${folder}.kept`, { recursive: true });
    }
  }));

test('SW2, P8: also a copy of later, and one of a process that was itself put back', () =>
  withFolder(async (folder) => {
    const one = await started(folder);
    for (const at of [5_000, 11_000, 17_000]) {
      await one.tell(`at ${at}`);
      await one.tell('commit');
      if (at === 11_000) await cp(folder, `${folder}.kept`, { recursive: true });
    }
    await one.kill();
    await putBack(folder);
    // It goes on from there, above all that was noted; then the same copy once more.
    const two = await started(folder);
    await two.tell('at 6000');
    await two.tell('commit');
    await two.kill();
    assert.is((await told(folder)).length, 0, 'what crashed is not what was put back');
    await putBack(folder);
    assert.is((await told(folder)).length, 1);
  }));

test('SW1, P8: a crash at any moment, and the same folder after it, is no loss', () =>
  withFolder(async (folder) => {
    for (let round = 0; round < 4; round += 1) {
      const one = await started(folder);
      for (let at = 0; at < 4 + round; at += 1) {
        await one.tell(`at ${at * 6_000}`);
        await one.tell('commit');
      }
      void one.tell('at 60000').catch(() => undefined);
      void one.tell('commit').catch(() => undefined);
      await one.kill();
      assert.is((await told(folder)).length, 0, `round ${round}`);
    }
  }));

test('SW2: the count rises with a commit, once in five seconds, and not without one', () =>
  withFolder(async (folder) => {
    let now = 0;
    const store = await openLmdb(folder, { steady: () => now });
    const epoch = await claimed(store);
    let version = 0;
    const commit = () => store.commit([commitOf({ address: 'order/1', epoch, expected: version++ })]);
    const seen: number[] = [];
    const opened = await noted(folder);
    for (const at of [0, 4_999, 5_000, 5_001, 9_999, 10_000]) {
      now = at;
      await commit();
      seen.push((await noted(folder)) - opened);
    }
    assert.equal(seen, [0, 0, 1, 1, 1, 2]);
    now = 3_600_000;
    const { mtimeMs } = await stat(`${folder}.witness`);
    await store.epochs([0]);
    await store.lease('placement', 'tester', { now, ms: 1_000 });
    await store.claim([1], 'tester');
    assert.is((await stat(`${folder}.witness`)).mtimeMs, mtimeMs, 'an idle store writes nothing');
    await Promise.all([commit(), store.close()]);
    assert.is((await noted(folder)) - opened, 4, 'and what is under way is noted before the closing');
  }));

test('SW2: of a commit that failed the next one raises the count', () =>
  withFolder(async (folder) => {
    let now = 0;
    let failing: LmdbStep | undefined;
    const onStep = (step: LmdbStep): void => {
      if (step === failing) throw new Error('cut');
    };
    const store = await openLmdb(folder, { steady: () => now, onStep });
    const epoch = await claimed(store);
    const commit = () => store.commit([commitOf({ address: 'order/1', epoch })]);
    const opened = await noted(folder);
    now = 5_000;
    failing = 'group-written';
    await rejects(commit(), 'store-failed');
    assert.is(await noted(folder), opened);
    failing = undefined;
    await commit();
    assert.is(await noted(folder), opened + 1);
    await store.close();
  }));

test('SW1: where nothing can be written beside the folder, all else goes on', () =>
  withFolder(async (folder) => {
    await mkdir(`${folder}.witness`, { recursive: true });
    let now = 0;
    const store = await openLmdb(folder, { steady: () => now });
    const epoch = await claimed(store);
    now = 5_000;
    assert.equal(await store.commit([commitOf({ address: 'order/1', epoch })]), ['committed']);
    await store.close();
    await rename(`${folder}.witness`, `${folder}.elsewhere`);
    assert.is((await told(folder)).length, 0);
  }));

test.run();
