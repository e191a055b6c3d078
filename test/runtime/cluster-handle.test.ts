/** One handle for a cluster, wherever its workers run: what takes a Cluster works with each. */
import type { AcceptedHold } from '../../core/entity.ts';
import { isSkerryError } from '../../core/errors.ts';
import type { Cluster } from '../../runtime/cluster-handle.ts';
import { connect } from '../../runtime/connect.ts';
import type { ServedWorker } from '../../runtime/serve.ts';
import { withWorkers } from '../support/served.ts';
import { assert, rejects, suite } from '../support/suite.ts';
import { Tally, withTallies } from '../support/tally.ts';

const test = suite('cluster handle');

interface Used {
  readonly during: <Value>(promise: Promise<Value>) => Promise<Value>;
}

/** What an application does with any of them. */
async function use({ entity, call, connect: as }: Cluster, { during }: Used): Promise<void> {
  assert.is(await during(entity(Tally, 'a').add(2)), 2);
  assert.is(await during(call('tally/a', 'add', 3)), 5);
  assert.is(await during(call('tally/a', 'count', undefined, { kind: 'query' })), 5);
  await rejects(during(call('tally/a', 'nothing', 1)), 'unknown-operation');
  await rejects(during(call('tally/a', 'count')), 'unknown-operation', /\{ kind: 'query' \}/);
  await rejects(during(call('tally/a', 'take', 1)), 'unknown-operation', /\{ kind: 'tentative' \}/);
  const accepted = (await during(call('tally/a', 'take', 1, { kind: 'tentative' }))) as AcceptedHold<number>;
  assert.equal([accepted.output, accepted.hold.operation], [4, 'take']);
  await during(accepted.cancel());
  const other = as({ identity: 'ada' });
  assert.is(await during(other.entity(Tally, 'b').add(1)), 1);
  assert.is(await during(other.call('tally/b', 'count', undefined, { kind: 'query' })), 1);
  other.close();
}

async function keysOf({ list }: Cluster, { during }: Used): Promise<string[]> {
  const keys: string[] = [];
  const all = async () => {
    for await (const key of list('tally')) keys.push(key);
  };
  await during(all());
  return keys;
}

test('an embedded cluster, a worker and a tool’s connection are used alike', async () => {
  await withTallies({}, async ({ cluster, during }) => {
    await use(cluster, { during });
    assert.equal(await keysOf(cluster, { during }), ['a', 'b']);
  });
  await withWorkers({}, async ({ workers, during }) => {
    const worker = workers.get('a') as ServedWorker;
    await use(worker, { during });
    assert.equal(await keysOf(worker, { during }), ['a', 'b']);
  });
  await withWorkers({}, async ({ transport, hand, during }) => {
    const tool = await during(connect({ transport, environment: hand, as: 'tool' }));
    await use(tool, { during });
    assert.equal(await keysOf(tool, { during }), ['a', 'b']);
    await tool.close();
  });
});

test('what is no name of a type is refused, instead of having no keys', () =>
  withWorkers({}, async ({ remote }) => {
    for (const type of ['BAD/x', 'tally/a', '', 7 as never])
      assert.throws(
        () => remote.list(type),
        (error: unknown) => isSkerryError(error, 'invalid-address'),
      );
  }));

test('a client lists nothing and calls for nobody else, and is told why; nothing is asked for it', () =>
  withWorkers({}, async ({ remote, during }) => {
    await rejects(keysOf(remote, { during }), 'denied', /as: 'tool'/);
    assert.throws(
      () => remote.connect({ identity: 'ada' }),
      (error: unknown) => isSkerryError(error, 'denied'),
    );
  }));

test('a tool’s list is asked of any worker that answers, and ends with the connection', () =>
  withWorkers({}, async ({ transport, hand, workers, during }) => {
    const tool = await during(connect({ transport, environment: hand, as: 'tool' }));
    for (const key of ['x', 'y', 'z']) await during(tool.entity(Tally, key).add(1));
    workers.get('a')?.member.stop();
    assert.equal(await keysOf(tool, { during }), ['x', 'y', 'z']);
    const keys = tool.list('tally')[Symbol.asyncIterator]();
    await during(keys.next());
    const ended = rejects(keysOf(tool, { during }), 'closed');
    await tool.close();
    await ended;
    await rejects(keysOf(tool, { during }), 'closed');
  }));

test.run();
