/** Rules for stores: commits, groups, claims (S1 to S7). */

import { addressOf } from '../../core/message.ts';
import { assert } from '../support/suite.ts';
import { bytes, claimed, commitOf, type Given, loadText, type Rule, text } from './store-given.ts';

export const commitRules: Rule[] = [];

function rule(title: string, body: (given: Given) => Promise<void>): void {
  commitRules.push({ title, body });
}

rule('S1: a commit changes version, head, records and wake together', async ({ store, epoch }) => {
  const address = 'order/1';
  await store.commit([
    commitOf({
      address,
      epoch,
      head: bytes('one'),
      records: [
        ['s', bytes('state')],
        ['t1', bytes('x')],
      ],
      wakeAt: 50,
    }),
  ]);
  await store.commit([
    commitOf({
      address,
      epoch,
      expected: 1,
      version: 7,
      head: bytes('two'),
      records: [
        ['s', bytes('new')],
        ['t1', null],
      ],
      wakeBefore: 50,
      wakeAt: 60,
    }),
  ]);
  assert.equal(await loadText(store, address), { version: 7, head: 'two', wakeAt: 60, records: [['s', 'new']] });
  assert.equal(await store.wakes(0, { limit: 9 }), [{ address, wakeAt: 60 }]);
});

rule(
  'S1: a record that is not named in a commit stays; removing an absent one is no error',
  async ({ store, epoch }) => {
    const address = 'order/1';
    await store.commit([commitOf({ address, epoch, records: [['a', bytes('kept')]] })]);
    assert.equal(await store.commit([commitOf({ address, epoch, expected: 1, records: [['b', null]] })]), [
      'committed',
    ]);
    assert.equal(await loadText(store, address), {
      version: 2,
      head: 'head',
      wakeAt: undefined,
      records: [['a', 'kept']],
    });
  },
);

rule('S2: a commit with a stale epoch writes nothing', async ({ store, epoch }) => {
  await claimed(store);
  const refused = commitOf({ address: 'order/1', epoch, records: [['a', bytes('x')]], wakeAt: 5 });
  assert.equal(await store.commit([refused]), ['stale-epoch']);
  assert.is(await loadText(store, 'order/1'), undefined);
  assert.equal([await store.wakes(0, { limit: 9 }), await store.list(undefined, { limit: 9 })], [[], []]);
});

rule(
  'S2: a commit with an epoch from the future, or for a partition never claimed, is stale',
  async ({ store, epoch }) => {
    const future = commitOf({ address: 'order/1', epoch: epoch + 1 });
    const unclaimed = commitOf({ address: 'order/2', epoch: 1, partition: 1 });
    assert.equal(await store.commit([future, unclaimed]), ['stale-epoch', 'stale-epoch']);
  },
);

rule('S2: a commit that expects another version writes nothing', async ({ store, epoch }) => {
  const address = 'order/1';
  await store.commit([commitOf({ address, epoch, version: 5, head: bytes('five'), wakeAt: 9 })]);
  for (const expected of [0, 4, 6]) {
    const late = commitOf({
      address,
      epoch,
      expected,
      version: 8,
      head: bytes('late'),
      records: [['a', bytes('x')]],
      wakeBefore: 9,
    });
    assert.equal(await store.commit([late]), ['stale-version']);
  }
  assert.equal(await loadText(store, address), { version: 5, head: 'five', wakeAt: 9, records: [] });
  assert.equal(await store.wakes(0, { limit: 9 }), [{ address, wakeAt: 9 }]);
});

rule(
  'S2: a commit with both stale is told of the epoch, which is what ends an activation',
  async ({ store, epoch }) => {
    assert.equal(await store.commit([commitOf({ address: 'order/1', epoch: epoch + 1, expected: 3 })]), [
      'stale-epoch',
    ]);
  },
);

rule('S2: the first commit of an entity happens once', async ({ store, epoch }) => {
  const first = commitOf({ address: 'order/1', epoch, head: bytes('first') });
  assert.equal(await store.commit([first]), ['committed']);
  assert.equal(await store.commit([{ ...first, head: bytes('again') }]), ['stale-version']);
  assert.equal(await loadText(store, 'order/1'), { version: 1, head: 'first', wakeAt: undefined, records: [] });
});

rule('S2: of calls that race for one version exactly one wins', async ({ store, epoch }) => {
  const racers = Array.from({ length: 20 }, (_, at) => commitOf({ address: 'order/1', epoch, head: bytes(`${at}`) }));
  const outcomes = (await Promise.all(racers.map((racer) => store.commit([racer])))).flat();
  const winner = outcomes.indexOf('committed');
  assert.is(outcomes.filter((outcome) => outcome === 'committed').length, 1);
  assert.equal(await loadText(store, 'order/1'), { version: 1, head: `${winner}`, wakeAt: undefined, records: [] });
});

rule('S3: commits of one group are accepted or refused one by one, in the order asked', async ({ store, epoch }) => {
  await store.commit([commitOf({ address: 'order/old', epoch })]);
  const [other] = await store.claim([1], 'tester');
  const outcomes = await store.commit([
    commitOf({ address: 'order/1', epoch, head: bytes('1') }),
    commitOf({ address: 'order/2', epoch: epoch + 1, head: bytes('2') }),
    commitOf({ address: 'order/3', epoch: other?.epoch ?? 0, partition: 1, head: bytes('3') }),
    commitOf({ address: 'order/old', epoch, expected: 9, version: 10, head: bytes('4') }),
    commitOf({ address: 'order/5', epoch, head: bytes('5') }),
  ]);
  assert.equal(outcomes, ['committed', 'stale-epoch', 'committed', 'stale-version', 'committed']);
  assert.equal(await store.list('order', { limit: 9 }), ['order/1', 'order/3', 'order/5', 'order/old']);
});

rule('S3: an empty group is accepted and does nothing', async ({ store }) => {
  assert.equal(await store.commit([]), []);
  assert.equal([await store.load([]), await store.epochs([]), await store.claim([], 'nobody')], [[], [], []]);
});

rule('S4: what was accepted is there after the store was closed and opened', async ({ store, epoch, reopen }) => {
  const address = addressOf('order', 'é😀\0');
  await store.commit([
    commitOf({
      address,
      epoch,
      version: 3,
      head: bytes('h'),
      records: [
        ['s', bytes('x')],
        ['p@1', bytes('y')],
      ],
      wakeAt: 1.5,
    }),
  ]);
  const again = await reopen();
  assert.equal(await loadText(again, address), { version: 3, head: 'h', wakeAt: 1.5, records: [['s', 'x']] });
  assert.equal(await again.wakes(0, { limit: 9 }), [{ address, wakeAt: 1.5 }]);
  assert.equal((await again.read({ partition: 0, address }, ['p@1'])).map(text), ['y']);
  assert.equal(await again.epochs([0, 1]), [epoch, 0]);
});

rule(
  'S7: bytes that are passed in or given out can be changed afterwards without changing the store',
  async ({ store, epoch }) => {
    const entity = { partition: 0, address: 'order/1' };
    const [head, value, lazy] = [bytes('head'), bytes('value'), bytes('lazy')];
    await store.commit([
      commitOf({
        ...entity,
        epoch,
        head,
        records: [
          ['s', value],
          ['p1', lazy],
        ],
      }),
    ]);
    for (const passed of [head, value, lazy]) passed.fill(0);
    const [loaded] = await store.load([entity]);
    const given = [
      loaded?.head,
      loaded?.records[0]?.[1],
      (await store.read(entity, ['p1']))[0],
      (await store.scan(entity, 's', { limit: 1 }))[0]?.[1],
    ];
    assert.equal(given.map(text), ['head', 'value', 'lazy', 'value']);
    for (const out of given) out?.fill(0);
    assert.equal(await loadText(store, entity.address), {
      version: 1,
      head: 'head',
      wakeAt: undefined,
      records: [['s', 'value']],
    });
    assert.equal((await store.read(entity, ['p1', 's'])).map(text), ['lazy', 'value']);
  },
);

rule('S6: a claim raises the epoch and names who held the partition before', async ({ store }) => {
  const first = await store.claim([3], 'one');
  const second = await store.claim([3, 4], 'two');
  const [[one], [three, four]] = [first, second];
  assert.equal(
    [first, second].flat().map(({ partition, before }) => [partition, before]),
    [
      [3, undefined],
      [3, 'one'],
      [4, undefined],
    ],
  );
  assert.ok((one?.epoch ?? 0) > 0 && (three?.epoch ?? 0) > (one?.epoch ?? 0) && (four?.epoch ?? 0) > 0);
  assert.equal(await store.epochs([4, 3, 5, 3]), [four?.epoch, three?.epoch, 0, three?.epoch]);
  assert.equal([one?.previous, three?.previous, four?.previous], [0, one?.epoch, 0]);
});

rule(
  'S6: an epoch is never given twice, to callers at once or after the store was opened again',
  async ({ store, reopen }) => {
    const claims = await Promise.all(Array.from({ length: 10 }, (_, at) => store.claim([2], `${at}`)));
    const epochs = claims.flat().map((claim) => claim.epoch);
    assert.is(new Set(epochs).size, 10);
    assert.equal(await store.epochs([2]), [Math.max(...epochs)]);
    const [later] = await (await reopen()).claim([2], 'later');
    assert.ok((later?.epoch ?? 0) > Math.max(...epochs));
  },
);

rule(
  'S6: from the moment at which a claim resolves, the commits of the stale owner are refused',
  async ({ store, epoch }) => {
    await store.commit([commitOf({ address: 'order/1', epoch })]);
    const next = await claimed(store);
    assert.equal(await store.commit([commitOf({ address: 'order/1', epoch, expected: 1 })]), ['stale-epoch']);
    assert.equal(await store.commit([commitOf({ address: 'order/1', epoch: next, expected: 1 })]), ['committed']);
  },
);

rule('S6: claims and commits that race agree on one order', async ({ store, epoch }) => {
  const calls = Array.from({ length: 6 }, (_, at) => store.commit([commitOf({ address: `order/${at}`, epoch })]));
  const claim = store.claim([0], 'rival');
  const later = Array.from({ length: 6 }, (_, at) => store.commit([commitOf({ address: `order/later-${at}`, epoch })]));
  const outcomes = (await Promise.all([...calls, ...later])).flat();
  await claim;
  assert.is(
    (await store.list('order', { limit: 99 })).length,
    outcomes.filter((outcome) => outcome === 'committed').length,
  );
});

rule(
  'S11: a tombstone is loaded and woken, and not listed until a commit leaves an entity again',
  async ({ store, epoch }) => {
    const address = 'order/1';
    await store.commit([
      commitOf({ address, epoch, records: [['p1', bytes('kept')]], wakeAt: 9 }),
      commitOf({ address: 'order/2', epoch }),
    ]);
    const removal = commitOf({
      address,
      epoch,
      expected: 1,
      version: 5,
      head: bytes('gone'),
      wakeBefore: 9,
      wakeAt: 60,
      leaves: 'tombstone',
    });
    assert.equal(await store.commit([{ ...removal, expected: 0 }]), ['stale-version']);
    assert.equal(await store.commit([removal]), ['committed']);
    assert.equal(await loadText(store, address), { version: 5, head: 'gone', wakeAt: 60, records: [] });
    assert.equal((await store.read({ partition: 0, address }, ['p1'])).map(text), ['kept']);
    assert.equal(await store.wakes(0, { limit: 9 }), [{ address, wakeAt: 60 }]);
    assert.equal(
      [await store.list(undefined, { limit: 9 }), await store.list('order', { limit: 1 })],
      [['order/2'], ['order/2']],
    );
    const wake = { wakeBefore: 60, wakeAt: 70 };
    assert.equal(await store.commit([{ ...removal, ...wake, expected: 5, version: 6 }]), ['committed']);
    assert.equal(await store.list('order', { limit: 9 }), ['order/2']);
    assert.equal(await store.commit([commitOf({ address, epoch, expected: 6, wakeBefore: 70 })]), ['committed']);
    assert.equal(await store.list('order', { limit: 9 }), [address, 'order/2']);
  },
);

rule(
  'S11: a commit that leaves nothing removes every record, wake and address, also those it does not name',
  async ({ store, epoch, reopen }) => {
    const entity = { partition: 0, address: 'order/1' };
    const near = { address: 'order/1\0', epoch, records: [['s', bytes('near')]] as const };
    const records = ['s', 'p1', 'h1', 'q'].map((name) => [name, bytes(name)] as const);
    await store.commit([commitOf({ ...entity, epoch, records, wakeAt: 9 }), commitOf(near)]);
    const end = commitOf({
      ...entity,
      epoch,
      expected: 1,
      version: 8,
      records: [['t', bytes('new')]],
      wakeAt: 5,
      leaves: 'nothing',
    });
    assert.equal(await store.commit([{ ...end, epoch: epoch + 1 }]), ['stale-epoch']);
    assert.equal(await store.commit([end]), ['committed']);
    const again = await reopen();
    assert.is(await loadText(again, entity.address), undefined);
    assert.equal(await again.scan(entity, '', { limit: 9 }), []);
    assert.equal(await again.read(entity, ['s', 'p1', 'h1', 't']), [undefined, undefined, undefined, undefined]);
    assert.equal([await again.wakes(0, { limit: 9 }), await again.list(undefined, { limit: 9 })], [[], ['order/1\0']]);
    assert.equal(await again.commit([{ ...end, expected: 8 }]), ['stale-version']);
    assert.equal(await again.commit([commitOf({ ...entity, epoch, version: 9 })]), ['committed']);
    assert.equal(await loadText(again, entity.address), { version: 9, head: 'head', wakeAt: undefined, records: [] });
  },
);
