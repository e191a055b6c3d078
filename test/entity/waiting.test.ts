/** Calls that wait for a later answer, when their entity leaves memory, moves, or is loaded again. */
import { Desk, desk, withDesks } from '../support/desks.ts';
import { GateStore } from '../support/gate.ts';
import { type ServedGiven, withWorkers } from '../support/served.ts';
import { assert, rejects, suite } from '../support/suite.ts';
import { watch } from '../support/tally.ts';

const test = suite('waiting calls');

const long = { deadlineMs: 600_000 };
const keyed = { ...long, idempotencyKey: 'k' };

test('WT3: a call that waits hears its answer at once, also when its entity has left memory meanwhile', () =>
  withDesks({ limits: { idleMs: 3_000 } }, async ({ cluster, hand, during }) => {
    const one = cluster.entity(Desk, 'one');
    const waits = [watch(one.ask('a', long)), watch(one.ask('b', keyed)), watch(one.ask('b', keyed))];
    await hand.advance(50);
    await hand.advance(60_000);
    await hand.advance(6_000);
    assert.is(cluster.workers[0]?.figures.activations, 0);
    await during(one.tell({ who: 'a', what: 'yes' }));
    await during(one.tell({ who: 'b', what: 'also' }));
    await hand.idle();
    assert.equal(
      waits.map(({ value }) => value),
      ['yes', 'also', 'also'],
    );
  }));

test('WT3: and when a commit of its entity has failed meanwhile', async () => {
  for (const fault of ['refused', 'lost before', 'lost after'] as const) {
    const gate = new GateStore();
    await withDesks({ gate }, async ({ cluster, hand, during }) => {
      const one = cluster.entity(Desk, 'one');
      const waits = [watch(one.ask('a', long)), watch(one.ask('b', long))];
      await hand.advance(60_000);
      // The answer's own commit is lost, and then one of another turn.
      gate.faults.commit.push(fault);
      const told = watch(one.tell({ who: 'a', what: 'yes' }));
      await hand.advance(1_000);
      if (fault === 'refused') await during(one.tell({ who: 'a', what: 'yes' }));
      else assert.ok(told.isSettled && told.error === undefined);
      gate.faults.commit.push(fault);
      watch(one.deny('nobody'));
      await hand.advance(1_000);
      await during(one.tell({ who: 'b', what: 'also' }));
      await hand.advance(1_000);
      assert.equal(
        waits.map(({ value }) => value),
        ['yes', 'also'],
        fault,
      );
    });
  }
});

test('WT3, E4: a copy of a call that is known to wait does not load its entity again', () =>
  withDesks({ limits: { idleMs: 3_000 } }, async ({ gate, cluster, hand, during }) => {
    const keys = Array.from({ length: 100 }, (_, key) => `${key}`);
    const waits = keys.map((key) => watch(cluster.entity(Desk, key).ask('a', long)));
    await hand.advance(20_000);
    assert.is(cluster.workers[0]?.figures.activations, 0);
    const before = gate.loadCount;
    await hand.advance(200_000);
    assert.is(gate.loadCount, before);
    for (const key of keys) await during(cluster.entity(Desk, key).tell({ who: 'a', what: key }));
    await hand.idle();
    assert.equal(
      waits.map(({ value }) => value),
      keys,
    );
  }));

test('WT1: whose numbers are the same hears nothing of another client, and whose request is another nothing of a key', () =>
  withDesks({ limits: { idleMs: 3_000 } }, async ({ cluster, hand, during }) => {
    const one = cluster.entity(Desk, 'one');
    const clients = ['', '', 'a', 'b'].map((identity) => cluster.connect({ identity }).entity(Desk, 'one'));
    const waits = clients.map((client, index) => watch(client.ask(`${index}`, long)));
    const keys = clients.map((client, index) =>
      watch(client.ask(`key ${index}`, { ...long, idempotencyKey: `${index}` })),
    );
    await hand.advance(20_000);
    assert.is(cluster.workers[0]?.figures.activations, 0);
    // It comes while the entity is not in memory, from elsewhere.
    const other = watch(
      cluster
        .connect({ identity: 'a' })
        .entity(Desk, 'one')
        .ask('key 2', { ...long, idempotencyKey: '2' }),
    );
    const forged = watch(clients[3]?.ask('forged', { ...long, idempotencyKey: '2' }) ?? Promise.reject());
    await hand.advance(100);
    const heard = () => [...waits, ...keys, other, forged].map(({ value }) => value);
    await during(one.tell({ who: '1', what: 'one' }));
    await during(one.tell({ who: 'key 2', what: 'two' }));
    await hand.advance(100);
    const nobody = undefined;
    assert.equal(heard(), [nobody, 'one', nobody, nobody, nobody, nobody, 'two', nobody, 'two', nobody]);
  }));

test('WT2: callers beyond waitingCallCountMax hear the answer with their next copy; those that gave up make room', () =>
  withDesks({ limits: { waitingCallCountMax: 2 } }, async ({ cluster, hand, during }) => {
    const one = cluster.entity(Desk, 'one');
    watch(one.ask('gone', { deadlineMs: 1_000 }));
    const waits = ['a', 'b', 'c'].map((who) => watch(one.ask(who, long)));
    const isTold = async (who: string) => {
      await during(one.tell({ who, what: who }));
      await hand.idle();
      return waits.filter(({ value }) => value === who).length === 1;
    };
    await hand.advance(100);
    assert.equal([await isTold('a'), await isTold('b')], [true, false]);
    // The copies of both find room: what was answered, and what nobody waits for, takes none.
    await hand.advance(40_000);
    assert.equal([waits[1]?.value, await isTold('c')], ['b', true]);
  }));

test('C3, P6: a call that is turned away does not keep those behind it waiting, however long one before it waits', () =>
  withDesks({ limits: { mailboxCountMax: 4 } }, async ({ gate, cluster, hand, during }) => {
    const one = cluster.entity(Desk, 'one');
    const waits = watch(one.ask('a', long));
    await hand.advance(50);
    gate.faults.commit.push('refused');
    await rejects(during(one.deny('nobody')), 'store-failed');
    await during(one.deny('nobody'));
    // In the middle of a burst, and of calls that wait too.
    const many = Array.from({ length: 9 }, (_, index) => watch(one.ask(`${index}`, long)));
    await hand.advance(1_000);
    const open = many.filter(({ isSettled }) => !isSettled).length;
    assert.ok(open > 0 && open < 9, `${open} wait`);
    await during(one.tell({ who: '0', what: 'yes' }));
    await hand.idle();
    assert.equal([many[0]?.value, waits.isSettled], ['yes', false]);
    await during(one.tell({ who: 'a', what: 'yes' }));
    await hand.idle();
    assert.is(waits.value, 'yes');
  }));

/** After a while nobody sends anything again for a minute, unless a view or a worker tells. */
const patient = { retryMsMax: 60_000 };
const served = { behaviours: [desk()], limits: patient };
const missing = () => Promise.reject(new Error('no such worker'));

/** Ten calls wait; something happens; then they are answered, and heard soon. */
function whoWaits(name: string, happens: (given: ServedGiven, keys: readonly string[]) => Promise<unknown>): void {
  test(`WT3: a call that waits hears its answer soon, also ${name}`, () =>
    withWorkers(served, async (given) => {
      const { hand, during, remote } = given;
      const all = Array.from({ length: 1_000 }, (_, key) => `${key}`);
      const keys = all.filter((key) => remote.where(`desk/${key}`).worker === 'b').slice(0, 10);
      const waits = keys.map((key) => watch(remote.entity(Desk, key).ask('a', long)));
      await hand.advance(70_000);
      await happens(given, keys);
      await hand.advance(6_000);
      for (const key of keys) await during(remote.entity(Desk, key).tell({ who: 'a', what: key }));
      await hand.advance(50);
      assert.equal(
        waits.map(({ value }) => value),
        keys,
      );
    }));
}

whoWaits('from where its entity has moved', ({ during, workers }) => during(workers.get('b')?.close() ?? missing()));
whoWaits('when its worker was killed', async ({ workers }) => workers.get('b')?.member.stop());
whoWaits('when another worker joins', ({ join }) => join('c'));
whoWaits('from where its entity is pinned', ({ during, workers }, keys) =>
  during(Promise.all(keys.map((key) => workers.get('a')?.member.pin(`desk/${key}`, 'a') ?? missing()))),
);
whoWaits('when the store went back, and its worker claims the partitions again', async ({ workers, gate }) => {
  gate.lostCount = 0;
  const worker = workers.get('b')?.workers[0];
  worker?.ownership.loseAll([...worker.partitions]);
});

test.run();
