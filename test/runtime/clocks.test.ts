/** Clocks that are wrong, are set, or stand still while the machine sleeps: what takes as long as it says, and who says what. */
import { connect } from '../../runtime/connect.ts';
import type { Environment } from '../../runtime/environment.ts';
import { withWorkers } from '../support/served.ts';
import { assert, rejects, suite } from '../support/suite.ts';
import { Tally, type TallyTurn, tallyWith, watch } from '../support/tally.ts';

const test = suite('clocks');
// Back to no date before 1970: this clock begins soon after it.
const quarterMs = 900_000;

/** The same machine with another clock. */
function off(environment: Environment, ms: number): Environment {
  const { log } = environment;
  return {
    now: () => environment.now() + ms,
    steady: () => environment.steady(),
    after: (afterMs, run) => environment.after(afterMs, run),
    soon: (run) => environment.soon(run),
    random: () => environment.random(),
    newId: () => environment.newId(),
    log,
  };
}

for (const ms of [-quarterMs, quarterMs])
  test(`C5: a call takes as long as its deadline says though the clock is set ${ms < 0 ? 'back' : 'on'} meanwhile`, () =>
    withWorkers({ names: ['a'] }, async ({ hand, gate, tally }) => {
      gate.load = () => new Promise(() => undefined);
      const call = watch(tally('x').add(1));
      await hand.advance(1_000);
      hand.setClock(ms);
      await hand.advance(28_000);
      assert.not.ok(call.isSettled);
      await hand.advance(2_000);
      assert.match(String(call.error), /deadline/);
    }));

test('Q2: what was not acknowledged is sent again after its pause though the clock was set back', () =>
  withWorkers({ scripts: { tell: (turn: TallyTurn) => turn.to(Tally, 'other').add(1) } }, async (given) => {
    const { hand, tally, during, transport, keyAt } = given;
    const send = transport.send.bind(transport);
    let lostCount = 0;
    transport.send = (subject, bytes) => {
      const isTold = subject.includes('.worker.') && Buffer.from(bytes).includes('tally/other') && lostCount < 3;
      if (isTold) lostCount += 1;
      else send(subject, bytes);
    };
    const { worker } = given.remote.where('tally/other');
    await during(tally(keyAt(worker === 'a' ? 'b' : 'a')).run('tell'));
    await hand.advance(3_000);
    assert.is(lostCount, 3);
    hand.setClock(-quarterMs);
    await hand.advance(10_000);
    assert.is(await during(tally('other').count()), 1);
  }));

test('O1: a clock that is set back makes no proof of ownership younger than it is, from the first moment', () =>
  withWorkers({ names: ['a'] }, async ({ hand, tally, during, workers, remote }) => {
    await during(tally('x').add(1));
    const { partition } = remote.where('tally/x');
    const ageMs = () => hand.now() - (workers.get('a')?.member.worker.ownership.provenAt(partition) ?? Infinity);
    const before = ageMs();
    hand.setClock(-quarterMs);
    assert.is(ageMs(), before);
    await hand.advance(300);
    assert.ok(ageMs() >= 0 && ageMs() <= before + 300, `${ageMs()}`);
    // A proof of now counts, though its date is before that of the one before.
    await during(tally('x').add(1));
    assert.ok(ageMs() >= 0 && ageMs() <= 10, `${ageMs()}`);
  }));

test('O1: what was proved before the machine slept is as old as the clock says', () =>
  withWorkers({ names: ['a'] }, async ({ hand, tally, during, workers, remote }) => {
    await during(tally('x').add(1));
    const { partition } = remote.where('tally/x');
    // Steady time stood still meanwhile.
    hand.setClock(quarterMs);
    const at = workers.get('a')?.member.worker.ownership.provenAt(partition) ?? Infinity;
    assert.ok(hand.now() - at >= quarterMs);
  }));

test('W3: a date that has come while the machine slept, or by a clock that was set on, is kept within a minute', () =>
  withWorkers(
    { scripts: { later: (turn: TallyTurn) => turn.timer('t', { afterMs: quarterMs }).add(5) } },
    async (given) => {
      const { hand, tally, during } = given;
      await during(tally('x').run('later'));
      await hand.advance(10_000);
      hand.setClock(quarterMs);
      await hand.advance(61_000);
      assert.is(await during(tally('x').count()), 5);
    },
  ));

test('an entity whose last turn ran under a clock that was a year ahead has right dates again, and that is said', () =>
  withWorkers({ scripts: { soon: (turn: TallyTurn) => turn.timer('t', { afterMs: 1_000 }).add(5) } }, async (given) => {
    const { hand, tally, during } = given;
    hand.setClock(365 * 96 * quarterMs);
    await during(tally('x').add(1));
    hand.setClock(-365 * 96 * quarterMs);
    await during(tally('x').run('soon'));
    await hand.advance(3_000);
    assert.is(await during(tally('x').count()), 6);
    const said = hand.logged.filter(({ message }) => message.includes('the last turn of an entity ran under a clock'));
    assert.is(said.length, 1);
  }));

test('C5: a client whose clock is behind by more than its deadline is told so at once, and the worker names it', () =>
  withWorkers({ names: ['a'] }, async ({ hand, transport, during }) => {
    const remote = await during(connect({ transport, environment: off(hand, -60_000), identity: 'ada' }));
    const startedAt = hand.now();
    const error = await rejects(during(remote.entity(Tally, 'x').add(1)), 'deadline');
    assert.match(error.message, /clock is 60\.\d s ahead of this one/);
    assert.is(error.effect, 'none');
    const late = await rejects(during(remote.entity(Tally, 'x').count()), 'deadline');
    assert.match(late.message, /clock is 60\.\d s ahead of this one/);
    assert.ok(hand.now() - startedAt < 1_000);
    const others = hand.logged.flatMap(({ details }) => ('other' in details ? [details.other] : []));
    assert.ok(others.includes('client ada'), others.join());
    assert.ok(others.includes('the worker that tells views'), others.join());
    await remote.close();
  }));

test('a client whose clock is ahead by more than it may be is served, and both say so', () =>
  withWorkers({ names: ['a'] }, async ({ hand, transport, during }) => {
    const remote = await during(connect({ transport, environment: off(hand, 60_000), identity: 'ada' }));
    assert.is(await during(remote.entity(Tally, 'x').add(1)), 1);
    await during(remote.entity(Tally, 'x').add(1));
    const others = hand.logged.flatMap(({ details }) => ('other' in details ? [details.other] : []));
    assert.equal(others.sort(), ['client ada', 'the worker that tells views']);
    await remote.close();
  }));

test('EL2, FR1: whoever runs the placement service is heard though its clock is set back', () =>
  withWorkers({ names: [] }, async ({ hand, join, transport }) => {
    const offset: Record<string, number> = { a: 0, b: 0, c: 0 };
    const workers = new Map<string, Awaited<ReturnType<typeof join>>>();
    for (const name of Object.keys(offset)) {
      // Real timers are late: a clock that is set back by no more than a pause between two stamps shows in none of them.
      const late = (ms: number, run: () => void) => hand.after(ms + 3, run);
      const environment = { ...off(hand, 0), now: () => hand.now() + (offset[name] ?? 0), after: late };
      workers.set(name, await join(name, { environment, transport, behaviours: [tallyWith()] }));
      await hand.advance(3_000);
    }
    await hand.advance(10_000);
    for (const ms of [1_100, 5_000]) {
      const [name = ''] = [...workers].find(([, { member }]) => member.isServing) ?? [];
      offset[name] = (offset[name] ?? 0) - ms;
      await hand.advance(7_000);
      for (const { member } of workers.values()) assert.ok(member.worker.partitions.length > 0, `${ms} ms`);
    }
  }));

test('a worker whose clock differs by more than it may is named by the placement service, and names the others', () =>
  withWorkers({ names: ['a'] }, async ({ hand, join, transport }) => {
    await join('b', { environment: off(hand, 60_000), transport, behaviours: [tallyWith()] });
    await hand.advance(5_000);
    const others = hand.logged.flatMap(({ details }) => ('other' in details ? [details.other] : []));
    assert.ok(others.includes('worker b'), others.join());
    assert.ok(others.includes('the worker that tells views'), others.join());
    assert.is(new Set(others).size, others.length);
  }));

test.run();
