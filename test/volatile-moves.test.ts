/** Simulated clusters of rooms in memory: whatever joins, leaves, or is pinned, nothing of a room is lost. */
import { behaviour, command, type Durability, entity, query, unchecked } from '../core/index.ts';
import { noFaults, type Scenario, type Stage, simulate } from '../runtime/testing.ts';
import { assert, suite } from './support/suite.ts';

const test = suite('volatile moves');

const Room = entity('room', {
  initial: () => ({ said: [] as string[], ticks: 0 }),
  operations: {
    say: command(unchecked<string>(), unchecked<number>()),
    tick: command(),
    look: query(unchecked<{ said: string[]; ticks: number }>()),
  },
});

const tickMs = 100;
const keys = Array.from({ length: 12 }, (_, key) => String(key));
const calls = 60;

const roomOf = (durability: Durability) =>
  behaviour(
    Room,
    {
      say(turn, what) {
        // What is stored is not finished while there are timers.
        if (durability === 'none' && turn.state.ticks === 0) turn.timer('tick', { afterMs: tickMs }).tick();
        turn.state.said.push(what);
        return turn.state.said.length;
      },
      tick(turn) {
        turn.state.ticks += 1;
        turn.timer('tick', { afterMs: tickMs }).tick();
      },
      look: ({ state: { said, ticks } }) => ({ said: [...said], ticks }),
    },
    { durability },
  );

/** What was acknowledged, by room, and what the rooms say in the end. */
class Talk {
  readonly told = new Map<string, string[]>(keys.map((key) => [key, []]));
  scenario(durability: Durability): Scenario {
    return {
      behaviours: () => [roomOf(durability)],
      workload: (stage) => this.#use(stage),
      afterwards: (stage) => this.#compare(stage, durability),
    };
  }

  async #use(stage: Stage): Promise<void> {
    const { client, chance, sleep } = await stage.connect('c1');
    for (let number = 0; number < calls; number++) {
      await Promise.all(
        keys.map(async (key) => {
          const what = `${key}-${number}`;
          await client.entity(Room, key).say(what, { deadlineMs: 60_000 });
          this.told.get(key)?.push(what);
        }),
      );
      await sleep(chance.between(10, 400));
    }
  }

  async #compare(stage: Stage, durability: Durability): Promise<void> {
    const { client, sleep } = await stage.connect('c2');
    for (const key of keys) {
      const before = await client.entity(Room, key).look();
      await sleep(5 * tickMs);
      const { said, ticks } = await client.entity(Room, key).look();
      const told = this.told.get(key) ?? [];
      if (said.join() !== told.join()) stage.violate('CA1', `room/${key} has ${said.length} of ${told.length}`);
      if (durability === 'none' && ticks <= before.ticks) stage.violate('CA1', `room/${key} does not tick any more`);
    }
  }
}

for (const durability of ['none', { intervalMs: 2_000 }] as const)
  test(
    `CA1, CA3: leaving, joining and pinning, over a network that doubles frames, takes nothing from rooms of durability ${JSON.stringify(durability)}`,
    async () => {
      // Only what is stored is pinned; of the others `volatile.test.ts` shows it.
      let [leaves, joins, pins] = [0, 0, 0];
      for (let seed = 1; seed <= 5; seed++) {
        const { violations, faults } = await simulate({
          seed,
          scenario: new Talk().scenario(durability),
          workers: 6,
          partitions: 16,
          limits: { idleMs: 600_000 },
          faults: { ...noFaults, leave: 0.2, join: 0.05, pin: 1, duplicate: 0.05 },
          faultMs: 30_000,
        });
        assert.equal([seed, violations], [seed, []]);
        leaves += faults['worker leaves'] ?? 0;
        joins += faults['worker joins'] ?? 0;
        pins += (faults.pinned ?? 0) + (faults.unpinned ?? 0);
      }
      assert.ok(
        leaves > 8 && joins > 1 && (pins > 30 || durability === 'none'),
        `${leaves} left, ${joins} joined, ${pins} pinned`,
      );
    },
    { timeoutMs: 120_000 },
  );

test.run();
