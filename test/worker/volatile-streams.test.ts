/** Streams of an entity of durability interval: its partner forgets nothing that the store could have sent again. */
import { behaviour, command, entity, query, SkerryError, unchecked } from '../../core/index.ts';
import { embed } from '../../runtime/embed.ts';
import type { Commit } from '../../runtime/store.ts';
import { MemoryStore } from '../../runtime/stores/memory.ts';
import { GateStore } from '../support/gate.ts';
import { HandEnvironment } from '../support/hand.ts';
import { assert, suite } from '../support/suite.ts';

const test = suite('volatile streams');

const Book = entity('book', {
  initial: () => ({ notes: [] as number[] }),
  operations: { note: command(unchecked<number>()), notes: query(unchecked<readonly number[]>()) },
});
const Herald = entity('herald', {
  initial: () => ({ seen: 0 }),
  operations: { tell: command(unchecked<number>()), look: command() },
});
const book = behaviour(Book, {
  note(turn, n) {
    turn.state.notes.push(n);
  },
  notes: ({ state }) => [...state.notes],
});
const herald = behaviour(
  Herald,
  {
    tell: (turn, n) => turn.to(Book, 'b').note(n),
    look(turn) {
      turn.state.seen += 1;
    },
  },
  { durability: { intervalMs: 600 } },
);

/** Commits of an entity wait, each a group, until they are let pass or refused. */
class OneByOne extends GateStore {
  override readonly groupsAtOnce = 16;
  readonly #held = new Map<string, Promise<unknown>>();

  override async commit(group: readonly Commit[]): ReturnType<GateStore['commit']> {
    for (const { address } of group) await this.#held.get(address);
    return super.commit(group);
  }

  /** Its next ones are held: undefined lets them pass, and an error is what they fail with. */
  hold(address: string): (error?: Error) => void {
    let end: (error?: Error) => void = () => undefined;
    const held = new Promise<void>((resolve, reject) => {
      end = (error) => (error === undefined ? resolve() : reject(error));
    });
    held.catch(() => undefined);
    this.#held.set(address, held);
    return end;
  }
}

const limits = { groupCountMax: 1, closeIdleMs: 200, trimIdleMs: 20, transitMaxMs: 1_000, skewMaxMs: 20 };

/** The store has a message in the outbox of a herald which its book has processed and acknowledged, and `then` comes; notes after a crash. */
async function notesAfter(
  then: (given: {
    hand: HandEnvironment;
    gate: OneByOne;
    look: () => Promise<unknown>;
    end: (error?: Error) => void;
  }) => Promise<void>,
): Promise<readonly number[]> {
  const hand = new HandEnvironment();
  const gate = new OneByOne(new MemoryStore({ partitions: 4 }));
  const given = { behaviours: [book, herald], store: gate, environment: hand, limits };
  const first = await hand.during(embed(given));
  const free = gate.hold('book/b');
  await hand.during(first.entity(Herald, 'a').tell(1));
  await hand.advance(900);
  assert.ok(
    gate.commits.flat().some(({ address }) => address === 'herald/a'),
    'it is written with what it sends',
  );
  const end = gate.hold('herald/a');
  free();
  await then({ hand, gate, look: () => hand.during(first.entity(Herald, 'a').look()), end });
  await hand.advance(5_000);
  first.workers[0]?.stop();
  gate.hold('herald/a')();
  const second = await hand.during(embed(given));
  await hand.advance(5_000);
  const notes = await hand.during(second.entity(Book, 'b').notes());
  await hand.during(second.close());
  return notes;
}

test('CL1, P4: a turn does not take along the close of a stream whose acknowledgements the store does not have', async () => {
  const notes = await notesAfter(async ({ hand, look }) => {
    await hand.advance(100);
    for (let ms = 0; ms < 1_000; ms += 100) {
      await look();
      await hand.advance(100);
    }
  });
  assert.equal(notes, [1]);
});

test('CL1, P4: from an image a stream that was closing is closed with a write, as at first', async () => {
  const notes = await notesAfter(async ({ hand, gate, end }) => {
    await hand.advance(600);
    gate.hold('herald/a');
    end(new SkerryError('store-failed', 'refused', { effect: 'none' }));
    await hand.advance(100);
  });
  assert.equal(notes, [1]);
});

test('CL1, P10: a stream that is closed while turns go on is forgotten by both in the end', async () => {
  const hand = new HandEnvironment();
  const gate = new OneByOne(new MemoryStore({ partitions: 4 }));
  const cluster = await hand.during(embed({ behaviours: [book, herald], store: gate, environment: hand, limits }));
  await hand.during(cluster.entity(Herald, 'a').tell(1));
  for (let ms = 0; ms < 6_000; ms += 50) {
    await hand.during(cluster.entity(Herald, 'a').look());
    await hand.advance(50);
  }
  const rows = [];
  for (const address of ['book/b', 'herald/a']) {
    const partition = gate.commits.flat().find((one) => one.address === address)?.partition ?? -1;
    const activities = await gate.inner.scan({ address, partition }, 'p', { limit: 10 });
    for (const [name] of activities) if (!name.includes('@')) rows.push(`${address} ${name}`);
  }
  assert.equal(rows, []);
  await hand.during(cluster.close());
});

test.run();
