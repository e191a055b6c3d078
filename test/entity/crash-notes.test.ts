/** Messages that end their worker's process: counted over its lives, and in the end not run any more. */
import { partitionOf } from '../../placement/hash.ts';
import type { RemoteCluster } from '../../runtime/connect.ts';
import type { EmbeddedCluster } from '../../runtime/embed.ts';
import { GateStore } from '../support/gate.ts';
import { HandEnvironment } from '../support/hand.ts';
import { type ServedGiven, withWorkers } from '../support/served.ts';
import { assert, suite } from '../support/suite.ts';
import { type Given, type Scripts, Tally, tallyWith, watch, withTallies } from '../support/tally.ts';

const test = suite('caution');

/** An application whose process ends, in the middle of a turn that asks for it, and is started again on the same store. */
class Lives {
  readonly gate = new GateStore();
  readonly scripts: Scripts;
  /** Ends of the process in which a turn was under way. */
  ends = 0;
  #cluster: EmbeddedCluster | undefined;
  #lifeCount = 0;

  constructor(scripts: (die: () => never) => Scripts) {
    this.scripts = scripts(() => this.#die());
  }

  #die(): never {
    this.ends += 1;
    this.gate.isAway = true;
    for (const worker of this.#cluster?.workers ?? []) worker.stop();
    throw new Error('nobody is there any more');
  }

  /** One life: the body, then some time; whether it ended by itself. */
  async live(body: (given: Given) => Promise<void> | void = () => undefined): Promise<boolean> {
    const before = this.ends;
    this.gate.isAway = false;
    const hand = new HandEnvironment();
    // No two processes have the same names.
    for (let id = 0; id < 10 * this.#lifeCount; id++) hand.newId();
    this.#lifeCount += 1;
    await withTallies({ gate: this.gate, hand, scripts: this.scripts }, async (given) => {
      this.#cluster = given.cluster;
      await body(given);
      await given.hand.advance(20_000);
    });
    return this.ends > before;
  }

  /** As many as it takes to live. */
  async restart(body?: (given: Given) => Promise<void> | void): Promise<number> {
    for (let count = 1; count <= 20; count++) if (!(await this.live(body))) return count;
    throw new Error('it never lives');
  }
}

const inDead = async ({ cluster }: Given, address: string) => {
  const found = await cluster.inspector.get(address);
  return found?.dead.map(({ reason, attempts }) => `${attempts}: ${reason}`) ?? [];
};

const poison = (die: () => never): Scripts => ({
  send: (turn) => {
    for (const key of ['i1', 'i2', 'i3']) turn.to(Tally, key).add(1);
    turn.to(Tally, 'b').add(1);
    turn.to(Tally, 'b').run('die');
    turn.to(Tally, 'b').add(10);
    for (const key of ['i4', 'i5']) turn.to(Tally, key).add(1);
  },
  die,
});

test('CN2, P7: a message that ends its process is a dead letter after three ends alone, its stream goes on, and no other is blamed', async () => {
  const lives = new Lives(poison);
  assert.ok(await lives.live(({ tally }) => void watch(tally('a').run('send'))));
  const starts = await lives.restart();
  assert.equal([lives.ends, starts], [5, 5], 'one that nobody had noted, one beside others, and three');
  await lives.live(async (given) => {
    const { tally, during } = given;
    assert.equal(await inDead(given, 'tally/b'), [
      "3: the worker's process ended 3 times during this turn (fatalEndsMax): it is not run again",
    ]);
    assert.is(await during(tally('b').count()), 11);
    for (const key of ['i1', 'i2', 'i3', 'i4', 'i5']) {
      assert.is(await during(tally(key).count()), 1);
      assert.equal(await inDead(given, `tally/${key}`), []);
    }
  });
});

test('CN2: a call that ends its process ends with an error, which is its answer from then on', async () => {
  const lives = new Lives(poison);
  const key = { idempotencyKey: 'k' };
  let last: ReturnType<typeof watch> | undefined;
  const starts = await lives.restart(({ tally }) => {
    last = watch(tally('a').run('die', key));
    watch(tally('b').add(1, { idempotencyKey: 'b' }));
  });
  assert.is(starts, 6);
  assert.match(String(last?.error), /process ended 3 times during this turn/);
  await lives.live(async (given) => {
    const again = watch(given.tally('a').run('die', key));
    await given.hand.advance(1_000);
    assert.match(String(again.error), /process ended 3 times/);
    assert.equal(await inDead(given, 'tally/a'), [], 'whoever asked was told');
    assert.is(await given.during(given.tally('b').count()), 1);
  });
});

test('CN2: timers are counted, too', async () => {
  const timers = (die: () => never): Scripts => ({
    set: (turn) => void turn.timer('t', { afterMs: 50 }).run('die'),
    die,
  });
  const timed = new Lives(timers);
  assert.ok(await timed.live(({ tally }) => void watch(tally('a').run('set'))));
  assert.is(await timed.restart(), 5);
  await timed.live(async (given) => assert.is((await inDead(given, 'tally/a')).length, 1));
});

test('CN1: after a clean end, and beyond cautionMs after another one, nothing is noted', async () => {
  const commits = async (lives: Lives, afterMs: number) => {
    let count = 0;
    await lives.live(async ({ hand, tally, during, gate }) => {
      await hand.advance(afterMs);
      await during(tally('a').count());
      const before = gate.commits.flat().length;
      for (const units of [1, 2, 3]) await during(tally('a').add(units));
      count = gate.commits.flat().length - before;
    });
    return count;
  };
  const lives = new Lives(poison);
  assert.is(await commits(lives, 0), 3, 'the first life');
  assert.is(await commits(lives, 0), 3, 'the one before has said that it ends');
  await lives.live(({ tally }) => void watch(tally('x').run('die')));
  assert.is(await commits(lives, 29_000), 6, 'each is noted first');
  await lives.live(({ tally }) => void watch(tally('x').run('die')));
  assert.is(await commits(lives, 30_000), 3);
});

test('CN1, P12: what waits together is noted together', async () => {
  const lives = new Lives(poison);
  await lives.live(({ tally }) => void watch(tally('x').run('die')));
  await lives.live(async ({ hand, tally, gate }) => {
    const before = gate.commits.flat().length;
    const calls = Array.from({ length: 60 }, () => watch(tally('a').add(1)));
    await hand.advance(1_000);
    assert.ok(calls.every(({ value }) => value !== undefined));
    assert.ok(gate.commits.flat().length - before <= 6, `${gate.commits.flat().length - before} commits`);
  });
});

/** Lives that end while so many calls wait for `a`, of which none comes again; the keys of their notes. */
async function notesOf(lives: Lives, lifeCount: number): Promise<string[]> {
  for (let life = 0; life < lifeCount; life++)
    await lives.live(({ tally }) => {
      watch(tally('a').run('die'));
      for (let call = 0; call < 63; call++) watch(tally('a').add(1));
    });
  return notesIn(lives);
}

async function notesIn({ gate }: Lives): Promise<string[]> {
  const address = 'tally/a';
  const [loaded] = await gate.inner.load([{ partition: partitionOf(address, gate.partitions), address }]);
  return (loaded?.records ?? []).map(([name]) => name).filter((name) => name.startsWith('n'));
}

test('CN3, P10: notes of calls that nobody waits for any more go, though nobody asks', async () => {
  const lives = new Lives(poison);
  assert.is((await notesOf(lives, 3)).length, 128);
  await lives.live(async ({ hand, tally, during }) => {
    await hand.advance(39_000);
    assert.is((await notesIn(lives)).length, 128);
    await hand.advance(3_000);
    assert.equal(await notesIn(lives), []);
    assert.is(await during(tally('a').add(1)), 1);
  });
});

test('CN1, CN3: what ends its process is counted also where as many notes as one entity may have are taken', async () => {
  const lives = new Lives(poison);
  assert.is((await notesOf(lives, 6)).length, 256);
  let last: ReturnType<typeof watch> | undefined;
  const hands: HandEnvironment[] = [];
  const starts = await lives.restart(({ hand, tally }) => {
    hands.push(hand);
    last = watch(tally('a').run('die', { idempotencyKey: 'k' }));
  });
  assert.is(starts, 5);
  assert.match(String(last?.error), /process ended 3 times during this turn/);
  const warnings = hands.map(({ logged }) => logged.filter(({ message }) => message.includes('counted anew')).length);
  assert.equal(warnings, [1, 0, 0, 0, 0], 'one made room, and it is said');
});

test('CN2: a turn that throws, or a store that is away, is no end of a process', async () => {
  const lives = new Lives((die) => ({ ...poison(die), throw: () => assert.unreachable('thrown') }));
  await lives.live(({ tally }) => void watch(tally('x').run('die')));
  await lives.live(async (given) => {
    const { hand, tally, gate, during } = given;
    await during(tally('a').add(1));
    for (let round = 0; round < 6; round++) {
      gate.faults.commit.push(round % 2 === 0 ? 'lost before' : 'lost after');
      await during(tally('a').add(1));
    }
    await hand.advance(1_000);
    assert.equal(await inDead(given, 'tally/a'), []);
    assert.is(await during(tally('a').count()), 7);
  });
});

/** Six workers, each of which ends in the middle of a turn or query that asks for it, and a client that goes on. */
const withMortals = (body: (given: ServedGiven & { dead: string[] }) => Promise<void>) =>
  withWorkers({ names: [] }, async (given) => {
    const dead: string[] = [];
    for (const name of ['a', 'b', 'c', 'd', 'e', 'f']) {
      const gate = new GateStore(given.gate.inner);
      const die = () => {
        dead.push(name);
        gate.isAway = true;
        given.workers.get(name)?.member.stop();
        throw new Error('nobody is there any more');
      };
      await given.join(name, { store: gate, behaviours: [tallyWith({ die })] });
    }
    await body({ ...given, dead });
  });

for (const [name, ask] of [
  ['call', (remote) => remote.entity(Tally, 'x').run('die')],
  ['query', (remote) => remote.entity(Tally, 'x').look('die')],
] satisfies [string, (remote: RemoteCluster) => Promise<unknown>][])
  test(`CN2: one ${name} that ends its workers ends with an error before it has ended all of a cluster`, () =>
    withMortals(async ({ hand, remoteOf, during, dead }) => {
      const [remote, other] = [await remoteOf(), await remoteOf()];
      await during(other.entity(Tally, 'x').add(1));
      await hand.advance(1_000);
      const asked = watch(ask(remote));
      await hand.advance(29_000);
      assert.is(dead.length, 5, String(asked.error));
      assert.match(String(asked.error), /process ended 3 times during this turn/);
      assert.is(await during(other.entity(Tally, 'x').add(1)), 2);
      await remote.close();
      await other.close();
    }));

test('CN1: a partition that a worker claims again itself, for a pin of another entity, has seen no end: nothing is noted', () =>
  withWorkers({ names: ['a'] }, async ({ hand, gate, during, workers, remote, tally }) => {
    const worker = workers.get('a')?.member.worker;
    await during(tally('x').add(1));
    const { partition } = remote.where('tally/x');
    await gate.pin('tally/other', partition + 16 * 999, 'a');
    worker?.ownership.verify([partition]);
    await hand.advance(2_000);
    const before = gate.commits.length;
    for (let call = 0; call < 10; call++) await during(tally('x').add(1));
    assert.is(gate.commits.length - before, 10);
  }));

test.run();
