/** Rules for stores: what is read, in which order, and how large it may be. */

import { addressOf } from '../../core/message.ts';
import { lazyTables } from '../../runtime/store.ts';
import { assert } from '../support/suite.ts';
import { bytes, byUtf8, commitOf, type Given, loadText, type Rule, text } from './store-given.ts';

export const readRules: Rule[] = [];

function rule(title: string, body: (given: Given) => Promise<void>): void {
  readRules.push({ title, body });
}

/** Keys and names that a store might mistake for its own separators, patterns or order. */
const strange = [
  '\0',
  'a\0b',
  'a',
  'a.b',
  '*',
  '>',
  'a*',
  '{tag}',
  ' ',
  '%2F',
  '/',
  '//',
  '..',
  'é',
  '\uffff',
  '\ue000',
  '😀',
  '\u{10ffff}',
  'x'.repeat(512),
  '漢'.repeat(170),
];

rule('load answers in the order asked, with undefined for what was never committed', async ({ store, epoch }) => {
  await store.commit(['b', 'a'].map((key) => commitOf({ address: `order/${key}`, epoch, head: bytes(key) })));
  const loaded = await store.load(['a', 'none', 'b', 'a'].map((key) => ({ partition: 0, address: `order/${key}` })));
  assert.equal(
    loaded.map((one) => text(one?.head)),
    ['a', undefined, 'b', 'a'],
  );
});

rule('load leaves the lazy tables where they are, and gives the others in order', async ({ store, epoch }) => {
  const names = ['s', 'q1', 'p1', 'p2', 'o9', 'd5', 'e', 'c', 'h1', 'i', 'hello', 'z', 'A', '😀'];
  const address = 'order/1';
  await store.commit([commitOf({ address, epoch, records: names.map((name) => [name, bytes(name)]) })]);
  const eager = names.filter((name) => !lazyTables.has(name.charAt(0))).sort(byUtf8);
  assert.equal(await loadText(store, address), {
    version: 1,
    head: 'head',
    wakeAt: undefined,
    records: eager.map((name) => [name, name]),
  });
  assert.equal((await store.read({ partition: 0, address }, ['p2', 'x', 'hello', 's'])).map(text), [
    'p2',
    undefined,
    'hello',
    's',
  ]);
});

rule('load takes the first of one lazy table along, and nothing of what is not there', async ({ store, epoch }) => {
  const names = ['d1', 'h1', 'o1', 'p1', 'p2', 'p3', 's', 'x1'];
  const entities = ['order/1', 'order/2', 'order/none'].map((address) => ({ partition: 0, address }));
  await store.commit([
    commitOf({ address: 'order/1', epoch, records: names.map((name) => [name, bytes(name)]) }),
    commitOf({ address: 'order/2', epoch }),
  ]);
  const load = async (table: string, limit: number) =>
    (await store.load(entities, { table, limit })).map(
      (loaded) =>
        loaded &&
        [loaded.records, loaded.along ?? []].map((records) => records.map(([name, value]) => [name, text(value)])),
    );
  const eager = names.filter((name) => !lazyTables.has(name.charAt(0))).map((name) => [name, name]);
  const activities = ['p1', 'p2', 'p3'].map((name) => [name, name]);
  const [none, empty] = [undefined, [[], []]];
  assert.equal(await load('p', 9), [[eager, activities], empty, none]);
  assert.equal(await load('p', 3), [[eager, activities], empty, none]);
  assert.equal(await load('p', 2), [[eager, activities.slice(0, 2)], empty, none]);
  assert.equal(await load('h', 9), [[eager, [['h1', 'h1']]], empty, none]);
  assert.equal(await store.load([], { table: 'p', limit: 9 }), []);
});

rule('scan gives a page of what starts with a prefix and comes after a name', async ({ store, epoch }) => {
  const entity = { partition: 0, address: 'order/1' };
  const names = Array.from({ length: 25 }, (_, at) => `p${String(at).padStart(2, '0')}`);
  await store.commit([
    commitOf({ ...entity, epoch, records: ['o', 'pz', 'q', ...names].map((name) => [name, bytes(name)]) }),
  ]);
  const page = async (prefix: string, after: string | undefined, limit: number): Promise<string[]> =>
    (await store.scan(entity, prefix, after === undefined ? { limit } : { after, limit })).map(([name, value]) =>
      name === text(value) ? name : 'wrong bytes',
    );
  assert.equal(await page('p', undefined, 3), ['p00', 'p01', 'p02']);
  assert.equal(await page('p', 'p02', 2), ['p03', 'p04']);
  assert.equal(await page('p', 'p23x', 9), ['p24', 'pz']);
  assert.equal(await page('p1', 'p0', 2), ['p10', 'p11']);
  assert.equal(
    [await page('p1', 'p2', 9), await page('p', 'pz', 9), await page('x', undefined, 9), await page('p', undefined, 0)],
    [[], [], [], []],
  );
  assert.equal(await page('', 'p24', 9), ['pz', 'q']);
  assert.equal(await store.scan({ partition: 0, address: 'order/none' }, '', { limit: 9 }), []);
});

rule(
  'wakes come soonest first, then by address, a page at a time, and only from their partition',
  async ({ store, epoch }) => {
    const [other] = await store.claim([1], 'tester');
    const times: [string, number][] = [
      ['order/c', 30],
      ['order/b', 20],
      ['order/a', 30],
      ['order/d', 1_800_000_000_000.5],
      ['order/e', 0],
    ];
    await store.commit(times.map(([address, wakeAt]) => commitOf({ address, epoch, wakeAt })));
    await store.commit([commitOf({ address: 'order/far', partition: 1, epoch: other?.epoch ?? 0, wakeAt: 25 })]);
    const all = await store.wakes(0, { limit: 99 });
    assert.equal(
      all.map(({ address }) => address),
      ['order/e', 'order/b', 'order/a', 'order/c', 'order/d'],
    );
    assert.is(all.at(-1)?.wakeAt, 1_800_000_000_000.5);
    assert.equal(await store.wakes(0, { limit: 2 }), all.slice(0, 2));
    assert.equal(await store.wakes(0, { after: { address: 'order/a', wakeAt: 30 }, limit: 9 }), all.slice(3));
    assert.equal(await store.wakes(0, { after: { address: 'order/zz', wakeAt: 20.5 }, limit: 1 }), all.slice(2, 3));
    assert.equal([await store.wakes(2, { limit: 9 }), await store.wakes(0, { limit: 0 })], [[], []]);
  },
);

rule('a wake moves with its entity and goes when the entity wants none', async ({ store, epoch }) => {
  const address = 'order/1';
  const wakeTimes = [undefined, 10, 10, 5, undefined, 7];
  for (const [expected, wakeAt] of wakeTimes.entries()) {
    await store.commit([commitOf({ address, epoch, expected, wakeBefore: wakeTimes[expected - 1], wakeAt })]);
    assert.equal(await store.wakes(0, { limit: 9 }), wakeAt === undefined ? [] : [{ address, wakeAt }]);
  }
});

rule('list gives addresses of one type or all, a page at a time', async ({ store, epoch }) => {
  const addresses = ['order/1', 'order/2', 'order-line/1', 'orders/1', 'stock/tea', 'a/z'];
  await store.commit(addresses.map((address) => commitOf({ address, epoch })));
  assert.equal(await store.list('order', { limit: 9 }), ['order/1', 'order/2']);
  assert.equal(await store.list('order', { after: 'order/1', limit: 9 }), ['order/2']);
  assert.equal(await store.list('order', { after: 'order-line/1', limit: 1 }), ['order/1']);
  assert.equal(
    [await store.list('order', { after: 'stock/tea', limit: 9 }), await store.list('ord', { limit: 9 })],
    [[], []],
  );
  const all = [...addresses].sort(byUtf8);
  assert.equal(await store.list(undefined, { limit: 99 }), all);
  assert.equal(await store.list(undefined, { after: all[1] ?? '', limit: 3 }), all.slice(2, 5));
});

rule(
  'keys may hold any character, and are listed in the order of their UTF-8 bytes',
  async ({ store, epoch, reopen }) => {
    const addresses = strange.map((key) => addressOf('order', key));
    await store.commit(
      addresses.map((address, at) =>
        commitOf({ address, epoch, head: bytes(`${at}`), records: [['s', bytes(`s${at}`)]], wakeAt: 5 }),
      ),
    );
    const again = await reopen();
    const sorted = [...addresses].sort(byUtf8);
    assert.equal(await again.list('order', { limit: 99 }), sorted);
    assert.equal(
      (await again.wakes(0, { limit: 99 })).map(({ address }) => address),
      sorted,
    );
    for (const [at, address] of addresses.entries())
      assert.equal(await loadText(again, address), {
        version: 1,
        head: `${at}`,
        wakeAt: 5,
        records: [['s', `s${at}`]],
      });
    const paged: string[] = [];
    for (
      let page = await again.list('order', { limit: 3 });
      page.length > 0;
      page = await again.list('order', { after: page.at(-1) ?? '', limit: 3 })
    )
      paged.push(...page);
    assert.equal(paged, sorted);
  },
);

rule(
  'names of records may hold any character, and come in the order of their UTF-8 bytes',
  async ({ store, epoch }) => {
    const entity = { partition: 0, address: addressOf('order', 'x'.repeat(512)) };
    const names = strange.flatMap((name) => [`s${name}`, `p${name}`]);
    await store.commit([commitOf({ ...entity, epoch, records: names.map((name) => [name, bytes(name)]) })]);
    const sorted = [...names].sort(byUtf8);
    const pairs = (prefix: string): [string, string][] =>
      sorted.filter((name) => name.startsWith(prefix)).map((name) => [name, name]);
    assert.equal(
      (await store.scan(entity, '', { limit: 99 })).map(([name, value]) => [name, text(value)]),
      pairs(''),
    );
    assert.equal(
      (await store.scan(entity, 'pa', { limit: 99 })).map(([name, value]) => [name, text(value)]),
      pairs('pa'),
    );
    assert.equal(await loadText(store, entity.address), {
      version: 1,
      head: 'head',
      wakeAt: undefined,
      records: pairs('s'),
    });
    assert.equal((await store.read(entity, names)).map(text), names);
  },
);

rule("entities whose keys are each other's beginnings keep their records apart", async ({ store, epoch }) => {
  const addresses = ['a/x', 'a/x\0', 'a/x\0s', 'a/xs', 'a/xss', 'a/x/s'];
  await store.commit(
    addresses.map((address) =>
      commitOf({
        address,
        epoch,
        records: [
          ['s', bytes(address)],
          ['\0s', bytes('nul')],
        ],
      }),
    ),
  );
  for (const address of addresses)
    assert.equal(await loadText(store, address), {
      version: 1,
      head: 'head',
      wakeAt: undefined,
      records: [
        ['\0s', 'nul'],
        ['s', address],
      ],
    });
});

rule('a record may be named after a partner whose address is as long as one can be', async ({ store, epoch }) => {
  const longest = addressOf('t'.repeat(64), `${'漢'.repeat(170)}xy`);
  const names = [`p${longest}`, `p${longest}\0${'9'.repeat(32)}`];
  await store.commit([commitOf({ address: longest, epoch, records: names.map((name) => [name, bytes('x')]) })]);
  assert.equal(
    (await store.scan({ partition: 0, address: longest }, 'p', { limit: 9 })).map(([name]) => name),
    names,
  );
});

rule('a value of some megabytes comes back byte for byte', async ({ store, epoch, reopen }) => {
  const entity = { partition: 0, address: 'order/1' };
  const large = Uint8Array.from({ length: 3_000_001 }, (_, at) => (at * 31 + (at >> 8)) & 255);
  await store.commit([
    commitOf({
      ...entity,
      epoch,
      head: large.subarray(0, 1_200_000),
      records: [
        ['s', large],
        ['p', large.subarray(7)],
        ['e', new Uint8Array()],
      ],
    }),
  ]);
  const again = await reopen();
  const [loaded] = await again.load([entity]);
  const [lazy] = await again.read(entity, ['p']);
  assert.is(Buffer.compare(loaded?.head ?? bytes(''), large.subarray(0, 1_200_000)), 0);
  assert.equal(
    loaded?.records.map(([name, value]) => [name, value.length]),
    [
      ['e', 0],
      ['s', large.length],
    ],
  );
  assert.is(Buffer.compare(loaded?.records[1]?.[1] ?? bytes(''), large), 0);
  assert.is(Buffer.compare(lazy ?? bytes(''), large.subarray(7)), 0);
});

rule('an entity may have many records, of which a commit names a few', async ({ store, epoch }) => {
  const entity = { partition: 0, address: 'order/1' };
  const names = Array.from({ length: 5_000 }, (_, at) => `p${String(at).padStart(5, '0')}`);
  await store.commit([
    commitOf({
      ...entity,
      epoch,
      records: [['s', bytes('x')], ...names.map((name) => [name, bytes(name)] as const)],
    }),
  ]);
  await store.commit([
    commitOf({
      ...entity,
      epoch,
      expected: 1,
      records: [
        ['p00001', null],
        ['p04998', bytes('new')],
        ['p99999', bytes('end')],
      ],
    }),
  ]);
  assert.equal(await loadText(store, entity.address), {
    version: 2,
    head: 'head',
    wakeAt: undefined,
    records: [['s', 'x']],
  });
  assert.is((await store.scan(entity, 'p', { limit: 9_999 })).length, 5_000);
  assert.equal(
    (await store.scan(entity, 'p', { after: 'p04997', limit: 2 })).map(([, value]) => text(value)),
    ['new', 'p04999'],
  );
  assert.equal(
    (await store.scan(entity, 'p', { limit: 2 })).map(([name]) => name),
    ['p00000', 'p00002'],
  );
});

rule('a group may hold a thousand entities', async ({ store, epoch }) => {
  const addresses = Array.from({ length: 1_024 }, (_, at) => `order/${String(at).padStart(4, '0')}`);
  const outcomes = await store.commit(
    addresses.map((address, at) => commitOf({ address, epoch, records: [['p1', bytes('x')]], wakeAt: at })),
  );
  assert.is(outcomes.filter((outcome) => outcome === 'committed').length, 1_024);
  assert.equal(await store.list('order', { limit: 9_999 }), addresses);
  assert.equal(
    (await store.wakes(0, { limit: 9_999 })).map(({ address }) => address),
    addresses,
  );
});
