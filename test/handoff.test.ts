/** Handoffs without anybody's retry: what is handed over comes along, and who is behind hears of it. */
import { viewsPerTerm } from '../placement/service.ts';
import { decodeSignal } from '../runtime/signals.ts';
import { Subjects } from '../runtime/subjects.ts';
import { noView, Views } from '../runtime/views.ts';
import { withWorkers } from './support/served.ts';
import { assert, suite } from './support/suite.ts';
import { watch } from './support/tally.ts';

const test = suite('handoff');
/** Nobody sends anything again within these tests. */
const limits = { retryMs: 30_000, retryMsMax: 30_000, deadlineMs: 120_000 };
const keys = Array.from({ length: 30 }, (_, key) => String(key));
const missing = () => Promise.reject(new Error('no such worker'));

test('HO2: calls that wait for their turn leave with their partition: nobody has to send them again', () =>
  withWorkers({ names: ['a'], limits }, async ({ hand, tally, gate, join, during, remote }) => {
    await during(Promise.all(keys.map((key) => tally(key).add(1))));
    const open = gate.holdCommits();
    const joining = join('b');
    // The first waits for the store, the others for their turns.
    const calls = keys.flatMap((key) => [1, 2, 3].map(() => watch(tally(key).add(1))));
    await hand.advance(200);
    const late = keys.map((key) => watch(tally(key).add(1)));
    open();
    await joining;
    await hand.advance(3_000);
    assert.ok(keys.some((key) => remote.where(`tally/${key}`).worker === 'b'));
    assert.is([...calls, ...late].filter(({ isSettled }) => !isSettled).length, 0);
  }));

test('MB2: who leaves waits until others have what it had: no call has to be sent again', () =>
  withWorkers({ limits }, async ({ hand, tally, workers, during }) => {
    await during(Promise.all(keys.map((key) => tally(key).add(1))));
    const closing = workers.get('b')?.close() ?? missing();
    const calls: ReturnType<typeof watch>[] = [];
    for (let round = 0; round < 40; round++) {
      calls.push(...keys.map((key) => watch(tally(key).add(1))));
      await hand.advance(10);
    }
    await during(closing);
    await hand.advance(3_000);
    assert.is(calls.filter(({ isSettled }) => !isSettled).length, 0);
  }));

test('VW2: a service that knows only of earlier terms is told, and numbers its views above', () =>
  withWorkers({}, async ({ hand, transport, remote, tally, during, workers }) => {
    const subjects = new Subjects('main');
    const parts = { environment: hand, transport, subjects, id: 'x', follow: () => undefined };
    // Somebody remembers what nobody else does, as after a store that went back while every worker was started anew.
    const views = new Views(parts, noView(16));
    const { version } = remote.view;
    views.learn({ ...remote.view, version: version + 5 * viewsPerTerm });
    transport.listen(subjects.views, (bytes) => {
      const signal = decodeSignal(bytes);
      if (signal.kind === 'view') views.learn(signal.view);
    });
    await hand.advance(10_000);
    assert.ok(views.placement.view.version > version + 5 * viewsPerTerm);
    for (const one of [remote.view, workers.get('a')?.view, workers.get('b')?.view])
      assert.is(one?.version, views.placement.view.version);
    assert.is(await during(tally('x').add(1)), 1);
  }));

test.run();
