/** What is only in memory, where the store has forgotten who had a partition, and where an owner before does not answer. */
import type { Claim } from '../../runtime/store.ts';
import { decodeControl } from '../../runtime/wire/control-messages.ts';
import type { Worker } from '../../runtime/worker/worker.ts';
import { type ServedGiven, withWorkers } from '../support/served.ts';
import { assert, suite } from '../support/suite.ts';
import { type TallyTurn, tallyWith } from '../support/tally.ts';

const test = suite('volatile loss');
const scripts = { remind: (turn: TallyTurn) => turn.timer('later', { afterMs: 20_000 }).add(100) };
const volatiles = [tallyWith(scripts, { durability: 'none' })];

function workerOf({ workers }: ServedGiven, name: string): Worker {
  const worker = workers.get(name)?.member.worker;
  if (worker === undefined) throw new Error(`no worker ${name}`);
  return worker;
}

/** From here on the store says of its claims of a partition that this was how it was before. */
function forget({ gate }: ServedGiven, of: number, was: Partial<Claim>): void {
  const claim = gate.claim.bind(gate);
  gate.claim = async (partitions, owner) =>
    (await claim(partitions, owner)).map((one) => (one.partition === of ? { ...one, ...was } : one));
}

for (const durability of ['none', { intervalMs: 60_000 }] as const)
  test(`P8: a store that goes back to before its last owner left takes nothing from the memory of the next: ${JSON.stringify(durability)}`, () =>
    withWorkers({ isDated: true, behaviours: [tallyWith(scripts, { durability })] }, async (given) => {
      const { hand, tally, during, gate, workers, remote, keyAt } = given;
      const key = keyAt('b');
      await during(tally(key).add(7));
      await during(tally(key).run('remind'));
      const { partition } = remote.where(`tally/${key}`);
      const [claimed = 0] = await gate.epochs([partition]);
      await during(workers.get('b')?.close() ?? Promise.reject(new Error('no such worker')));
      await hand.advance(2_000);
      assert.is(await during(tally(key).add(1)), 8);
      // It finds its claim gone, and claims again.
      forget(given, partition, { claimed, before: 'b' });
      workerOf(given, 'a').ownership.lose(partition);
      await hand.advance(2_000);
      assert.is(await during(tally(key).add(1)), 9);
      await hand.advance(60_000);
      assert.is(await during(tally(key).count()), 109);
    }));

for (const isHeard of [true, false])
  test(`CA2: where the owner before is in the view and ${isHeard ? 'says that it has nothing, the image is used' : 'does not answer, the entity begins anew'}`, () =>
    withWorkers({ isDated: true, behaviours: volatiles }, async (given) => {
      const { hand, tally, during, remote, keyAt } = given;
      const key = keyAt('a');
      await during(tally(key).add(7));
      const { partition } = remote.where(`tally/${key}`);
      forget(given, partition, { before: 'b' });
      const { transport, workers } = given;
      const [send, silent] = [transport.send.bind(transport), isHeard ? '' : workers.get('b')?.member.entry.id];
      transport.send = (subject, bytes) => {
        const message = subject.includes('.control.') ? decodeControl(bytes) : undefined;
        if (message?.kind !== 'bare' || message.id !== silent) send(subject, bytes);
      };
      workerOf(given, 'a').ownership.lose(partition);
      await hand.advance(5_000);
      assert.is(await during(tally(key).add(1)), isHeard ? 8 : 1);
    }));

const losses = ({ hand }: ServedGiven) =>
  hand.logged
    .filter(({ level, message }) => level === 'error' && message.includes('(P8)'))
    .map(({ details }) => details);

for (const [what, was, commits] of [
  ['the claim of its last owner', { claimed: 0 }, 0],
  ['what its last owner had written', { mark: -2 }, 2],
  ['nothing', {}, undefined],
] as const)
  test(`LR2, P8: that a store has forgotten ${what} before the next owner claims is ${commits === undefined ? 'not ' : ''}said`, () =>
    withWorkers(
      { isDated: true, behaviours: [tallyWith({}, { durability: { intervalMs: 60_000 } })] },
      async (given) => {
        const { hand, tally, during, workers, remote, keyAt } = given;
        const key = keyAt('b');
        await during(tally(key).add(7));
        const { partition } = remote.where(`tally/${key}`);
        forget(given, partition, was);
        await during(workers.get('b')?.close() ?? Promise.reject(new Error('no such worker')));
        await hand.advance(2_000);
        assert.ok(workerOf(given, 'a').has(partition));
        const said = { worker: 'a', partitions: [partition], commits, entities: 0 };
        assert.equal(losses(given), commits === undefined ? [] : [said]);
      },
    ));

test('LR2, P8: a loss between a claim and the first use of it is said, by who has claimed, and of no other claim', () =>
  withWorkers({ isDated: true, behaviours: volatiles }, async (given) => {
    const { hand, gate, transport, workers } = given;
    const worker = workerOf(given, 'a');
    const [partition = 0] = worker.partitions;
    const [send, silent] = [transport.send.bind(transport), workers.get('b')?.member.entry.id];
    transport.send = (subject, bytes) => {
      const message = subject.includes('.control.') ? decodeControl(bytes) : undefined;
      if (message?.kind !== 'bare' || message.id !== silent) send(subject, bytes);
    };
    worker.ownership.lose(partition);
    await hand.advance(1_000);
    assert.not.ok(worker.has(partition));
    const [epoch = 0] = await gate.epochs([partition]);
    for (const tell of gate.tells) {
      tell({ partition, epoch: epoch - 1, commits: 5 });
      tell({ partition, epoch, commits: 2 });
    }
    await hand.advance(2_000);
    assert.equal(losses(given), [{ worker: 'a', partitions: [partition], commits: 2, entities: 0 }]);
  }));

test('CA3: a worker yields a partition to a later claim, and to no earlier one', () =>
  withWorkers({ names: ['a'], behaviours: volatiles }, async (given) => {
    const worker = workerOf(given, 'a');
    const [partition = 0, other = 0, third = 0] = worker.partitions;
    const epoch = worker.ownership.epochOf(partition);
    const yieldTo = (epoch: number, ...partitions: number[]) => [
      ...worker.yieldTo(partitions.map((partition) => ({ partition, epoch }))),
    ];
    assert.equal([yieldTo(epoch - 1, partition), worker.has(partition)], [[], true]);
    assert.equal([yieldTo(epoch + 1, partition), worker.has(partition)], [[partition], false]);
    assert.equal(yieldTo(1, partition, other), [partition]);
    // Of several it is heard at once: all entities are looked through for it (O3).
    const counts: number[] = [];
    const { ownership } = worker;
    const loseAll = ownership.loseAll.bind(ownership);
    ownership.loseAll = (partitions) => {
      const all = [...partitions];
      counts.push(all.length);
      loseAll(all);
    };
    const later = 1 + Math.max(...[other, third].map((one) => ownership.epochOf(one)));
    assert.equal([yieldTo(later, other, third), counts], [[other, third], [2]]);
  }));

test.run();
