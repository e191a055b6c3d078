/** How streams that have gone quiet end: what is told when, and what it costs. */
import type { Envelope } from '../runtime/envelope.ts';
import { across, far, near } from './support/across.ts';
import type { LossyTransport } from './support/lossy.ts';
import { assert, suite } from './support/suite.ts';
import { Tally } from './support/tally.ts';

const test = suite('closing');

const saidOf = (thief: LossyTransport, wanted: string) => thief.sent.filter(({ kind }) => kind === wanted).length;

test('P10, A5: a stream that has gone quiet is closed, and in the end neither side remembers the other', () =>
  across({}, async ({ hand, thief, tally, during, cluster }) => {
    await during(tally(near).run('see'));
    await hand.advance(400_000);
    assert.ok(thief.sent.some(({ kind }) => kind === 'close') && thief.sent.some(({ kind }) => kind === 'closed'));
    for (const key of [near, far]) {
      const found = await cluster.inspector.get(`tally/${key}`);
      assert.equal(
        found?.activities.filter(({ partner }) => partner.startsWith('tally/')),
        [],
      );
    }
  }));

test('CL1, A5: that a stream ends is told when the store has it', () =>
  across({}, async ({ hand, gate, thief, tally, during }) => {
    await during(tally(near).run('see'));
    await hand.advance(9_000);
    const open = gate.holdCommits();
    await hand.advance(6_000);
    assert.is(saidOf(thief, 'close'), 0);
    open();
    await hand.advance(100);
    assert.is(saidOf(thief, 'close'), 1);
  }));

test('CL2, P10: that a session is over is said when the store has it, however often it is asked', () =>
  across({}, async ({ hand, gate, thief, tally, during }) => {
    await during(tally(near).run('see'));
    for (let step = 0; step < 2_000 && saidOf(thief, 'close') === 0; step++) await hand.advance(10);
    const open = gate.holdCommits();
    await hand.advance(10_000);
    assert.ok(saidOf(thief, 'close') > 1);
    assert.is(saidOf(thief, 'closed'), 0);
    open();
    await hand.advance(100);
    assert.ok(saidOf(thief, 'closed') > 0);
  }));

test('CL1, P7: that an earlier session is over, heard late, ends no later one', () =>
  across({}, async ({ hand, thief, tally, during, cluster, stored }) => {
    let kept: Envelope | undefined;
    thief.takes = (envelope) => {
      if (envelope.kind === 'closed') kept ??= envelope;
      return envelope.kind === 'closed';
    };
    await during(tally(near).run('see'));
    await hand.advance(20_000);
    assert.ok(kept);
    // A second session, which is closing as well when the first one's end is heard of.
    await during(tally(near).run('see'));
    const outbound = async () => (await cluster.inspector.get(`tally/${near}`))?.activities[0]?.outbound;
    for (let step = 0; step < 4_000 && (await outbound())?.isClosing !== true; step++) await hand.advance(10);
    const session = (await outbound())?.session;
    const told = saidOf(thief, 'close');
    cluster.workers[0]?.receive(kept);
    await hand.advance(8_000);
    assert.is((await outbound())?.session, session);
    assert.ok(saidOf(thief, 'close') > told, 'it is told until its own end is heard of');
    thief.takes = () => false;
    await hand.advance(60_000);
    assert.is(await outbound(), undefined);
    assert.equal((await stored(far))?.seen, [1, 2]);
  }));

test('P10: an entity that is written now and then says at once that a session is over', () =>
  across({ behaviour: { durability: { intervalMs: 60_000 } } }, async ({ hand, thief, tally, during }) => {
    await during(tally(near).run('see'));
    await hand.advance(90_000);
    await during(tally(near).run('see'));
    const before = saidOf(thief, 'closed');
    await hand.advance(20_000);
    assert.is(saidOf(thief, 'closed'), before + 1);
  }));

test('P10: the streams of one conversation end in two commits of the one side, and three of the other', () =>
  across(
    { scripts: { spread: (turn) => [0, 1, 2].forEach((index) => void turn.to(Tally, `${far}-${index}`).add(1)) } },
    async ({ hand, gate, tally, during }) => {
      await during(tally(near).run('spread'));
      await hand.advance(9_000);
      const before = gate.commits.length;
      await hand.advance(60_000);
      const after = gate.commits.slice(before).flat();
      assert.is(after.filter(({ address }) => address === `tally/${near}`).length, 2);
      for (const index of [0, 1, 2])
        assert.is(after.filter(({ address }) => address === `tally/${far}-${index}`).length, 3);
    },
  ));

test.run();
