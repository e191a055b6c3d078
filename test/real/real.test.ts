/**
 * Real processes on real servers, killed, paused, cut off and drained under load: a short selection of `npm run faults`. What
 * a client outside was told, and what the entities did, must be the same. How long it takes is measured there, not here.
 * Time limit: 300 s
 */

import { assert, suite } from '../support/suite.ts';
import { compare } from './check.ts';
import { build } from './cluster.ts';
import { faults } from './faults.ts';
import { hostile } from './hostile.ts';
import type { Asked } from './journal.ts';
import { large } from './large.ts';
import { moves } from './moves.ts';
import { countOf, type Numbers, note } from './numbers.ts';
import { lose } from './rollback.ts';
import type { Result } from './scenario.ts';

const real = suite('real');
/** A busy machine takes its time to start seven processes. */
const unhurried = { timeoutMs: 120_000 };
const scenarios = [...faults, ...moves, hostile];

async function run(name: string, seconds: number): Promise<Result> {
  const scenario = scenarios.find((one) => one.name === name);
  assert.ok(scenario !== undefined, name);
  const result = await scenario.run({ seconds, say: (text) => console.log(`  ${name}: ${text}`) });
  assert.ok(result.verdict !== undefined);
  const { operations, sent, failed, lost, doubled, wrong, stale, disordered } = result.verdict;
  assert.equal(result.problems, []);
  assert.equal([failed, lost, doubled, wrong, stale, disordered], [0, 0, 0, 0, 0, 0]);
  assert.ok(operations > 500 && sent > 50, `${operations} operations and ${sent} messages are no load`);
  return result;
}

real.before(build);

real('the comparison finds what is lost, what nobody asked for, and what was said not to have happened', () => {
  const asked = { issued: 9, acknowledged: [[1, 4]], without: [[5, 6]], unknown: [[7, 9]] } as Asked;
  const of = (seen: Numbers) => compare(asked, seen);
  assert.equal(of([[1, 4]]), { lost: [], unknownHappened: 0, wrong: [] });
  assert.equal(
    of([
      [1, 4],
      [8, 9],
    ]),
    { lost: [], unknownHappened: 2, wrong: [] },
  );
  assert.equal(
    of([
      [2, 3],
      [6, 6],
      [9, 11],
    ]),
    { lost: [1, 4], unknownHappened: 1, wrong: [10, 11, 6] },
  );
});

real(
  'list, log and doctor read a folder of many entities whole, and end when nobody reads on',
  async () => {
    const { problems, measured } = await large.run({ seconds: undefined, entities: 2_000, say: () => undefined });
    assert.equal(problems, []);
    assert.match(String(measured.list), /first line .* 2,001 lines read/);
  },
  unhurried,
);

real('numbers of operations in any order become ranges, and one that comes twice is noticed', () => {
  const numbers: Numbers = [];
  assert.equal(
    [5, 3, 4, 4, 9, 1, 2, 8, 3].map((one) => note(numbers, one)),
    [true, true, true, false, true, true, true, true, false],
  );
  assert.equal(numbers, [
    [1, 5],
    [8, 9],
  ]);
  assert.is(countOf(numbers), 7);
});

real(
  'P1, P4, P7, P9: workers are killed under load, one each second, and started again: nothing is lost, doubled or left over',
  async () => {
    const { measured } = await run('kill', 4);
    assert.is(measured.kills, 4);
  },
  unhurried,
);

real(
  'P3, P4, P9: a worker that is stopped for seconds and wakes up makes no second history',
  async () => void (await run('zombie', 3)),
  unhurried,
);

real(
  'P4, P7: what was on its way when NATS was killed is sent again when it is back',
  async () => void (await run('nats-restart', 1)),
  unhurried,
);

real(
  'P4, P8: what Redis had acknowledged is there when it was killed and is back, and what was under way is done once',
  async () => void (await run('redis-restart', 1)),
  unhurried,
);

real(
  'P4, P7, P8: one server of a Redis Cluster goes back under load, and what is told after that comes once',
  async () => {
    const given = { seconds: undefined, say: (text: string) => console.log(`  rollback: ${text}`) };
    const found = await lose({ where: 'cluster', streams: 'open', load: 'busy' }, 2, given);
    const { missing, doubled, keysNotStored, reportedTwice, roundsUnreported, problems } = found;
    assert.equal([missing, doubled, keysNotStored, reportedTwice, roundsUnreported, problems], [0, 0, 0, 0, 0, []]);
    assert.ok(found.acknowledgedAfter > 60 && found.keysRepeated > 0, JSON.stringify(found));
  },
  unhurried,
);

real(
  'P3, P4: a worker that reaches the store and not NATS loses its entities to others, and they to nobody',
  async () => void (await run('cut-nats', 1)),
  unhurried,
);

real(
  'P4: every worker is drained and started again under load, and no call fails',
  async () => void (await run('rolling', 0)),
  unhurried,
);

real(
  'P4, P12: hostile frames as client, tool and worker end no process and break no promise of who calls beside them',
  async () => void (await run('hostile', 0)),
  unhurried,
);

real.run();
