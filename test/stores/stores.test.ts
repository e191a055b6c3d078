/**
 * Each store against the conformance suite, and what is true of the embedded one alone.
 *
 * Longer than 400 lines because each of its rules needs the same folders and processes.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, promises, rmdirSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Epoch, Store } from '../../runtime/store.ts';
import { type LmdbOptions, type LmdbStep, openLmdb } from '../../runtime/stores/lmdb/store.ts';
import { MemoryStore } from '../../runtime/stores/memory.ts';
import { storeSuite } from '../conformance/store.ts';
import { commitOf } from '../conformance/store-given.ts';
import { Child } from '../support/child.ts';
import { assert, rejects, suite } from '../support/suite.ts';

storeSuite('memory', async () => {
  const store = new MemoryStore();
  return { store, reopen: async () => store, close: () => store.close() };
});

storeSuite('lmdb', async () => {
  const parent = await mkdtemp(join(tmpdir(), 'skerry-'));
  const folder = join(parent, 'data');
  let store = await openLmdb(folder);
  const reopen = async (): Promise<Store> => {
    await store.close();
    store = await openLmdb(folder);
    return store;
  };
  const close = async (): Promise<void> => {
    await store.close();
    await rm(parent, { recursive: true });
  };
  return { store, reopen, close };
});

const test = suite('store: lmdb alone');

/** A rule on an empty folder; stores that it opens through `opened` are closed for it. */
function rule(
  title: string,
  body: (folder: string, opened: (options?: LmdbOptions) => Promise<Store>) => Promise<void>,
): void {
  test(title, async () => {
    const parent = await mkdtemp(join(tmpdir(), 'skerry-'));
    const folder = join(parent, 'new', 'data');
    const stores: Store[] = [];
    const opened = async (options: LmdbOptions = {}): Promise<Store> => {
      const store = await openLmdb(folder, options);
      stores.push(store);
      return store;
    };
    try {
      await body(folder, opened);
    } finally {
      for (const store of stores) await store.close();
      await rm(parent, { recursive: true });
    }
  });
}

async function epochOf(store: Store): Promise<Epoch> {
  const [claim] = await store.claim([0], 'tester');
  return claim?.epoch ?? 0;
}

/** Replaces text inside the data file, as a process that is no longer there might have written it. */
async function forge(folder: string, pattern: RegExp, text: (found: string) => string): Promise<void> {
  const path = join(folder, 'data.mdb');
  const data = await readFile(path, 'latin1');
  assert.match(data, pattern);
  await writeFile(
    path,
    data.replace(pattern, (found) => text(found).padEnd(found.length)),
    'latin1',
  );
}

const children: Child[] = [];

function child(args: readonly string[], command: readonly string[] = []): Child {
  const started = new Child('./lmdb-child.ts', args, command);
  children.push(started);
  return started;
}

// One that a failed test has left would keep this process from ending.
test.after.each(async () => {
  for (const started of children.splice(0)) await started.kill();
});

/** Everything about the entity says the same version, the wake index too; answers that version. */
async function wholeVersion(store: Store, address: string): Promise<number> {
  const entity = { partition: 0, address };
  const [loaded] = await store.load([entity]);
  if (loaded === undefined) return 0;
  const said = Buffer.from(String(loaded.version));
  const records = await store.scan(entity, '', { limit: 99 });
  assert.equal(
    records.map(([name]) => name),
    [`e${loaded.version % 2}`, 'p1', 'p2', 's', 't'],
  );
  for (const value of [loaded.head, ...records.map(([, bytes]) => bytes)]) assert.is(Buffer.compare(value, said), 0);
  const wakes = (await store.wakes(0, { limit: 99 })).filter((wake) => wake.address === address);
  assert.equal(wakes, [{ address, wakeAt: loaded.version }]);
  return loaded.version;
}

rule('S4: after SIGKILL every acknowledged commit is there, and no commit is there in part', async (folder) => {
  for (let round = 0; round < 3; round += 1) {
    const killed = child(['commitForEver', folder]);
    const said: string[] = [];
    while (said.length < 400) {
      const line = await killed.line();
      assert.ok(line, 'the child ended by itself');
      said.push(line ?? '');
    }
    said.push(...(await killed.kill()));
    const acknowledged = new Map(
      said
        .filter((line) => /^order\/\S+ \d+$/.test(line))
        .map((line) => [line.split(' ')[0] ?? '', Number(line.split(' ')[1])]),
    );
    const store = await openLmdb(folder);
    for (const [address, version] of acknowledged) {
      const found = await wholeVersion(store, address);
      assert.ok(found === version || found === version + 1, `${address}: acknowledged ${version}, found ${found}`);
    }
    // All entities of a group were committed together, or none.
    for (const half of [0, 1]) {
      const versions = await Promise.all([0, 1, 2, 3].map((at) => wholeVersion(store, `order/${half}-${at}`)));
      assert.is(new Set(versions).size, 1, `half a group: ${versions.join()}`);
    }
    await store.close();
  }
});

rule('S2, SL2: two processes that change the same entities lose no change', async (folder, opened) => {
  const store = await opened({ shared: true });
  const epoch = await epochOf(store);
  const said = await Promise.all([
    child(['increment', folder, `${epoch}`]).finish(),
    child(['increment', folder, `${epoch}`]).finish(),
  ]);
  const accepted = said.flat().map((line) => Number(line.replace('accepted ', '')));
  const versions = await Promise.all([0, 1, 2, 3].map((at) => wholeVersion(store, `counter/${at}`)));
  assert.is(accepted.length, 2);
  assert.ok(Math.min(...accepted) > 0);
  assert.is(
    versions.reduce((sum, version) => sum + version),
    accepted.reduce((sum, count) => sum + count),
  );
});

rule('S6: a claim by another process makes this one stale at once', async (folder, opened) => {
  const store = await opened({ shared: true });
  const epoch = await epochOf(store);
  assert.equal(await store.commit([commitOf({ address: 'order/1', epoch })]), ['committed']);
  assert.equal(await store.epochs([0]), [epoch]);
  // Waited for without giving up this turn of the event loop, in which a store might keep a snapshot.
  const script = fileURLToPath(new URL('../support/lmdb-child.ts', import.meta.url));
  const claim = spawnSync(process.execPath, ['--import', 'tsx', script, 'claimOnce', folder], { encoding: 'utf8' });
  const later = Number(/^claimed (\d+)\n$/.exec(claim.stdout)?.[1]);
  assert.ok(later > epoch, claim.stdout);
  assert.equal(await store.epochs([0]), [later]);
  assert.equal(await store.commit([commitOf({ address: 'order/1', epoch, expected: 1 })]), ['stale-epoch']);
});

rule(
  'SX1: a process that ends while it writes ends, and one that writes nothing ends with its own code',
  async (folder, opened) => {
    const script = fileURLToPath(new URL('../support/lmdb-child.ts', import.meta.url));
    for (const [how, signal, status] of [
      ['exit', 'SIGKILL', null],
      ['throw', 'SIGKILL', null],
      ['idle', null, 3],
    ] as const) {
      const ended = spawnSync(process.execPath, ['--import', 'tsx', script, 'endInCommit', folder, how], {
        encoding: 'utf8',
        timeout: 20_000,
      });
      assert.equal([how, ended.signal, ended.status], [how, signal, status]);
      assert.is(ended.stderr.includes(folder), how !== 'idle');
    }
    assert.is(await wholeVersion(await opened(), 'order/1'), 1);
  },
);

rule(
  'a folder that was made is its owner’s alone, and so are its files; in a group’s folder they are the group’s',
  async (folder, opened) => {
    if (process.platform === 'win32') return;
    const modeOf = async (path: string) => ((await stat(path)).mode & 0o777).toString(8);
    await opened();
    const names = ['data.mdb', 'lock.mdb'].map((name) => join(folder, name));
    assert.equal(await Promise.all([folder, ...names, `${folder}.witness`].map(modeOf)), ['700', '600', '600', '600']);
    const shared = `${folder}-of-a-group`;
    await mkdir(shared);
    await promises.chmod(shared, 0o770);
    await (await openLmdb(shared)).close();
    assert.is((await modeOf(join(shared, 'data.mdb'))).slice(1) === '00', false, 'as the process makes files');
  },
);

rule('SL5: a folder that another live process has open is in use, and may be looked into', async (folder, opened) => {
  const holder = child(['hold', folder]);
  assert.is(await holder.line(), 'open');
  for (const shared of [false, true]) {
    const failure = await rejects(opened({ shared }), 'store-in-use');
    assert.match(failure.message, new RegExp(`process ${holder.pid} \\(holder\\).*stop that process`));
  }
  const reader = await opened({ readOnly: true });
  assert.is(await wholeVersion(reader, 'order/1'), 1);
  assert.is(
    (await rejects(reader.commit([commitOf({ address: 'order/2', epoch: 1 })]), 'store-failed')).effect,
    'none',
  );
  await reader.close();
  assert.equal(await holder.finish(), ['closed']);
  await opened();
});

rule('SL5: a folder that this process has open is in use until it is closed', async (folder, opened) => {
  const store = await opened({ shared: true });
  for (const options of [{}, { shared: true }, { readOnly: true }]) await rejects(opened(options), 'store-in-use');
  await Promise.all([store.close(), store.close()]);
  await rejects(store.epochs([0]), 'closed');
  await rejects(store.commit([]), 'closed');
  await opened();
  assert.ok((await stat(join(folder, 'data.mdb'))).isFile());
});

rule('SF2: a folder left by a killed process is free, even if its pid is in use again', async (folder, opened) => {
  const killed = child(['hold', folder]);
  assert.is(await killed.line(), 'open');
  await killed.kill();
  const note = new RegExp(`"pid":${killed.pid},`, 'g');
  // Process 1 lives, and started at another time than the one that wrote the note.
  await forge(folder, note, (found) => `${'"pid":1'.padEnd(found.length - 1)},`);
  assert.is(await wholeVersion(await opened(), 'order/1'), 1);
});

rule('SF1: a folder keeps its number of partitions', async (_folder, opened) => {
  const store = await opened({ partitions: 8 });
  assert.is(store.partitions, 8);
  await store.close();
  await rejects(opened({ partitions: 9 }), 'store-format', /has 8 partitions, not 9/);
  await rejects(opened({ partitions: 256, readOnly: true }), 'store-format');
  assert.is((await opened()).partitions, 8);
});

rule('SF1: a folder in a newer or unknown format is not touched', async (folder, opened) => {
  await (await opened()).close();
  await forge(folder, /"format":1/g, () => '"format":2');
  const before = await readFile(join(folder, 'data.mdb'));
  await rejects(opened(), 'store-format', /format 2; this version of Skerry reads format 1/);
  await rejects(opened({ readOnly: true }), 'store-format');
  assert.is(Buffer.compare(before, await readFile(join(folder, 'data.mdb'))), 0);
});

rule('SF1: a file that is no LMDB data, or not all of it, is not opened', async (folder, opened) => {
  await (await opened()).close();
  const path = join(folder, 'data.mdb');
  const whole = await readFile(path);
  const newer = Buffer.from(whole).fill(3, 28, 29);
  const pieces = [whole.subarray(0, 100), whole.subarray(0, 4_096)];
  for (const data of [Buffer.from('x'), Buffer.alloc(9_999, 'no data '), ...pieces, newer]) {
    await writeFile(path, data);
    await rejects(opened(), 'store-format');
    await rejects(opened({ readOnly: true }), 'store-format');
  }
  await writeFile(path, '');
  assert.is((await opened({ partitions: 2 })).partitions, 2);
});

rule('a folder without data has nothing to look into, and is not made by looking', async (folder, opened) => {
  await rejects(opened({ readOnly: true }), 'not-found');
  await mkdir(folder, { recursive: true });
  await rejects(opened({ readOnly: true }), 'not-found');
  await rejects(openLmdb(join('/dev/null', 'data')), 'store-failed');
});

rule(
  'S5, SL1: an error at any step of a group leaves nothing of it, and others that share its transaction unharmed',
  async (_folder, opened) => {
    let failAt: { step: LmdbStep; countdown: number } | undefined;
    const onStep = (step: LmdbStep): void => {
      if (failAt?.step !== step) return;
      failAt.countdown -= 1;
      if (failAt.countdown < 0) throw new Error(`planned at ${step}`);
    };
    const store = await opened({ onStep });
    const epoch = await epochOf(store);
    const middle = (['checked', 'head-written', 'record-written', 'wake-written'] as const).flatMap((step) =>
      [0, 1, 2].map((nth) => ({ step, nth })),
    );
    let version = 0;
    for (const { step, nth } of [
      { step: 'begun', nth: 0 } as const,
      ...middle,
      { step: 'group-written', nth: 0 } as const,
    ]) {
      const wakeAt = version;
      const neighbour = store.commit([commitOf({ address: 'order/neighbour', epoch, expected: version, wakeAt })]);
      const records = [['s', Buffer.from('x')]] as const;
      const failing = store.commit(
        ['a', 'b', 'c'].map((key) => commitOf({ address: `order/${key}`, epoch, records, wakeAt: 1 })),
      );
      // The neighbour goes through every step once before, but for its records: it has none.
      failAt = { step, countdown: step === 'record-written' ? nth : nth + 1 };
      const failure = await rejects(failing, 'store-failed', new RegExp(`planned at ${step}`));
      assert.is(failure.effect, 'none');
      assert.equal(await neighbour, ['committed']);
      failAt = undefined;
      version += 1;
      assert.equal(await store.list(undefined, { limit: 9 }), ['order/neighbour']);
      assert.equal(await store.wakes(0, { limit: 9 }), [{ address: 'order/neighbour', wakeAt }]);
    }
  },
);

for (const [name, make] of [
  ['memory', async () => new MemoryStore({ valueBytesMax: 64 * 1024 * 1024 })],
  ['lmdb', undefined],
] as const)
  rule(`S5: ${name}: a group with a value over valueBytesMax is refused as a whole`, async (_folder, opened) => {
    const store = make === undefined ? await opened() : await make();
    const epoch = await epochOf(store);
    const tooLarge = new Uint8Array(store.valueBytesMax + 1);
    const fitting = commitOf({ address: 'order/1', epoch });
    assert.is(
      (await rejects(store.commit([fitting, commitOf({ address: 'order/2', epoch, head: tooLarge })]), 'too-large'))
        .effect,
      'none',
    );
    const withRecord = commitOf({ address: 'order/2', epoch, records: [['s', tooLarge]] });
    await rejects(store.commit([fitting, withRecord]), 'too-large');
    assert.equal(await store.list(undefined, { limit: 9 }), []);
  });

rule(
  'S5: a record whose name does not fit into a key is refused before anything is written',
  async (_folder, opened) => {
    const store = await opened();
    const epoch = await epochOf(store);
    const longest = 'p'.repeat(1_978 - 2 - 'order/1'.length);
    const fitting = commitOf({ address: 'order/1', epoch, records: [[longest, Buffer.from('x')]] });
    await rejects(
      store.commit([fitting, commitOf({ address: 'order/2', epoch, records: [[`${longest}p`, Buffer.from('x')]] })]),
      'too-large',
    );
    assert.equal(await store.list(undefined, { limit: 9 }), []);
    assert.equal(await store.commit([fitting]), ['committed']);
    assert.is((await store.scan({ partition: 0, address: 'order/1' }, 'p', { limit: 1 })).length, 1);
  },
);

/** What a full disk must look like, however it came to be full and is freed. */
async function checkFullDisk(full: Child, free: () => void): Promise<void> {
  const failed = await full.line();
  assert.match(failed ?? '', /^failed store-failed (none|unknown)$/);
  const [, acknowledged, a, b] = /^acknowledged (\d+), found (\d+) (\d+)$/.exec((await full.line()) ?? '') ?? [];
  assert.ok(Number(acknowledged) > 0);
  for (const found of [a, b])
    assert.ok(found === acknowledged || (failed?.endsWith('unknown') && Number(found) === Number(acknowledged) + 1));
  free();
  full.tell('again');
  assert.equal(await full.finish(), ['committed', 'then 1']);
}

const diskFull = 'when the disk is full commits fail, reads go on, and commits succeed when there is room again';

rule(`SL4: ${diskFull}: a limit on the size of files`, async (folder) => {
  const full = child(['fill', folder], ['sh', '-c', 'ulimit -S -f 8192; exec "$0" "$@"']);
  await checkFullDisk(full, () => run('prlimit', '--pid', `${full.pid}`, '--fsize=unlimited:'));
});

const scratch = mkdtempSync(join(tmpdir(), 'skerry-disk-'));
if (run('mount', '-t', 'tmpfs', '-o', 'size=6m', 'none', scratch))
  test('SL4: a disk that is really full is met in the same way', async () => {
    try {
      await checkFullDisk(child(['fill', join(scratch, 'data')]), () =>
        run('mount', '-o', 'remount,size=20m', scratch),
      );
      await writeFile(join(scratch, 'filler'), Buffer.alloc(20_000_000)).catch(() => {});
      await rejects(openLmdb(join(scratch, 'new')), 'store-failed');
      await (await openLmdb(join(scratch, 'data'))).close();
    } finally {
      run('umount', scratch);
      await rm(scratch, { recursive: true });
    }
  });
else {
  rmdirSync(scratch);
  test.skip('SL4: a disk that is really full is met in the same way', 'this user may not mount a tmpfs');
}

rule(
  'SL3: the names of a new data file and of its new folders are flushed to disk before it is open',
  async (folder, opened) => {
    const flushed: string[] = [];
    const actual = promises.open;
    // Node's own function, as the store imports it: what is flushed is seen, and flushed.
    promises.open = async (...args) => {
      const file = await actual(...args);
      const sync = file.sync.bind(file);
      file.sync = () => {
        flushed.push(String(args[0]));
        return sync();
      };
      return file;
    };
    syncBuiltinESMExports();
    try {
      const named = ['', '..', join('..', '..')].map((up) => join(folder, up));
      await opened();
      assert.equal(
        flushed.filter((path) => named.includes(path)).slice(-3),
        named,
        'from the folder up to the one that was there',
      );
      flushed.length = 0;
      const other = join(folder, '..', '..', 'there');
      await mkdir(other);
      const store = await openLmdb(other);
      assert.ok(flushed.includes(other), 'also in a folder that was there before');
      await store.close();
      flushed.length = 0;
      await (await openLmdb(other)).close();
      assert.not.ok(flushed.includes(other), 'and not again');
      const noted = flushed.filter((path) => path.startsWith(`${other}.witness`));
      assert.is(noted.length, 2, 'the note of an opening and that of a closing are flushed');
      assert.is(flushed.filter((path) => path === join(other, '..')).length, 2, 'with their name');
    } finally {
      promises.open = actual;
      syncBuiltinESMExports();
    }
  },
);

if (run('strace', '-V'))
  rule('SL3: a commit is acknowledged after its pages and then its root were flushed to disk', async (folder) => {
    const trace = join(tmpdir(), `skerry-trace-${process.pid}`);
    const calls = 'trace=pwrite64,pwritev,fdatasync,write';
    const traced = child(['hold', folder], ['strace', '-f', '-e', calls, '-o', trace]);
    assert.equal(await traced.finish(), ['open', 'closed']);
    const lines = (await readFile(trace, 'utf8').finally(() => rm(trace))).split('\n');
    const said = lines.findIndex((line) => line.includes('write(1, "open'));
    const before = lines.slice(0, said).filter((line) => /pwrite|fdatasync/.test(line));
    // Pages, their flush, and last the root through a descriptor that writes synchronously.
    assert.match(
      before
        .slice(-3)
        .map((line) => line.replace(/^\d+ +(\w+)\((\d+).*$/, '$1 $2'))
        .join(),
      /^pwrite\w* (\d+),fdatasync \1,pwrite64 \d+$/,
    );
  });
else test.skip('SL3: a commit is acknowledged after it was flushed to disk', 'strace is not installed');

if (run('strace', '-V'))
  rule(
    'SL3: the name of a new data file is flushed to disk, also in a folder that was there before',
    async (folder) => {
      const trace = join(tmpdir(), `skerry-trace-${process.pid}`);
      await rm(folder, { recursive: true, force: true });
      await mkdir(folder, { recursive: true });
      const traced = child(['hold', folder], ['strace', '-f', '-y', '-e', 'trace=fsync', '-o', trace]);
      assert.equal(await traced.finish(), ['open', 'closed']);
      const text = await readFile(trace, 'utf8').finally(() => rm(trace));
      assert.ok(new RegExp(`fsync\\(\\d+<${folder}>\\)`).test(text), text.slice(0, 500));
    },
  );
else test.skip('SL3: the name of a new data file is flushed to disk', 'strace is not installed');

/** Whether a command of the system could be run. */
function run(command: string, ...args: string[]): boolean {
  return spawnSync(command, args, { stdio: 'ignore' }).status === 0;
}

test.run();
