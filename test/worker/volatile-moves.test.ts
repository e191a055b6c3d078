/** Simulated clusters of rooms in memory: whatever joins, leaves, or is pinned, nothing of a room is lost. */
import { behaviour, command, type Durability, entity, query, unchecked } from '../../core/index.ts';
import { type FaultRates, noFaults, type Scenario, type Stage, simulate } from '../../runtime/testing/index.ts';
import { assert, suite } from '../support/suite.ts';

const test = suite('volatile moves');

const Room = entity('room', {
  initial: () => ({ said: [] as string[], ticks: 0 }),
  operations: {
    say: command(unchecked<string>(), unchecked<number>()),
    tick: command(),
    look: query(unchecked<{ said: string[]; ticks: number }>()),
  },
});

const interval = { intervalMs: 2_000 };
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
    const looks = () => Promise.all(keys.map((key) => client.entity(Room, key).look()));
    const before = await looks();
    // A timer was set by the clock of the worker before.
    await sleep(stage.limits.skewMaxMs + 5 * tickMs);
    for (const [index, { said, ticks }] of (await looks()).entries()) {
      const room = `room/${keys[index]}`;
      const told = this.told.get(keys[index] ?? '') ?? [];
      if (said.join() !== told.join()) stage.violate('CA1', `${room} has ${said.length} of ${told.length}`);
      if (durability === 'none' && ticks <= (before[index]?.ticks ?? 0))
        stage.violate('CA1', `${room} does not tick any more: ${ticks}`);
    }
  }
}

const gentle = { leave: 0.2, join: 0.05, pin: 1 };
/** With seeds of which most once lost something. */
const networks: readonly (readonly [string, Partial<FaultRates>, readonly number[]])[] = [
  ['doubles', { ...gentle, duplicate: 0.05 }, [1, 5]],
  ['loses', { pin: 1, drop: 0.05 }, [2, 17]],
  ['delays', { pin: 1, delay: 0.1 }, [3, 4]],
  ['loses, delays and doubles', { ...gentle, drop: 0.05, delay: 0.1, duplicate: 0.05 }, [3, 4]],
];
/** What its workers have in memory outlives what their store forgets (P8). */
const forgetful: Partial<FaultRates> = { leave: 0.2, rollback: 0.3 };
const forgetfulSeeds = new Map<Durability, readonly number[]>([
  ['none', [36, 41]],
  [interval, [22]],
]);

for (const [durability, seeds] of forgetfulSeeds)
  test(
    `P8: a store that goes back while workers leave takes nothing from rooms of durability ${JSON.stringify(durability)}`,
    () => moveAbout(durability, forgetful, seeds),
    { timeoutMs: 120_000 },
  );

test(
  "P8, CA2: pins between a loss of the store and the next claims take nothing from rooms of durability 'none'",
  () => moveAbout('none', { ...forgetful, pin: 1 }, [3, 5, 14]),
  { timeoutMs: 120_000 },
);

for (const durability of ['none', interval] as const)
  for (const [what, faults, seeds] of networks)
    test(
      `CA1, CA3: moves and pins over a network that ${what} frames take nothing from rooms of durability ${JSON.stringify(durability)}`,
      () => moveAbout(durability, faults, seeds),
      { timeoutMs: 120_000 },
    );

async function moveAbout(durability: Durability, faults: Partial<FaultRates>, seeds: readonly number[]): Promise<void> {
  let [leaves, joins, pins, losses] = [0, 0, 0, 0];
  for (const seed of seeds) {
    const report = await simulate({
      seed,
      scenario: new Talk().scenario(durability),
      workers: 6,
      partitions: 16,
      limits: { idleMs: 600_000 },
      faults: { ...noFaults, ...faults },
      faultMs: 30_000,
    });
    assert.equal([seed, report.violations], [seed, []]);
    leaves += report.faults['worker leaves'] ?? 0;
    joins += report.faults['worker joins'] ?? 0;
    losses += (report.faults['store went back'] ?? 0) + (report.faults['one partition went back'] ?? 0);
    pins += (report.faults.pinned ?? 0) + (report.faults.unpinned ?? 0);
  }
  const isMoving = faults.leave === undefined || leaves + joins > 4;
  const isPinning = faults.pin === undefined || pins > 20;
  const isForgetting = faults.rollback === undefined || losses > 4;
  assert.ok(
    isMoving && isPinning && isForgetting,
    `${leaves} left, ${joins} joined, ${pins} pinned, ${losses} went back`,
  );
}

test.run();
