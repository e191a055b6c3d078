/**
 * The placement service: transcripts of what it hears and does, and what holds whatever it hears.
 *
 * Longer than 400 lines because a transcript is read whole.
 *
 * Time limit: 60 s.
 */
import fc from 'fast-check';
import type { PlacementLimits } from '../../placement/limits.ts';
import { viewsPerTerm } from '../../placement/service.ts';
import type { View } from '../../placement/view.ts';
import { entryOf, perform, ServicePlay } from '../support/service-play.ts';
import { assert, suite } from '../support/suite.ts';

const test = suite('placement service');

/** A transcript is what it says: performed, its events give the same text again. */
function holds(transcript: string, options: ConstructorParameters<typeof ServicePlay>[0] = {}): void {
  const lines = transcript.split('\n').filter((line) => line.trim() !== '');
  const wanted = lines.map((line) => (/^\s*at /.test(line) ? line.trim() : line.replace(/^ {4}/, '')));
  assert.is(perform(transcript, options), wanted.join('\n'));
}

test('PS1, PS3: workers that join within gatherMs are in one view', () => {
  holds(`
    at 0 start a-1
         0   ping a-1: pong
    at 10 start b-1
        10   ping b-1: pong
    at 20 start c-1
        20   ping c-1: pong
        50   view 1.1: a-1, b-1, c-1
    at 500 start d-1
       500   ping d-1: pong
       550   view 1.2: a-1, b-1, c-1, d-1
    at 900 end`);
});

test('PS2: a crashed worker is out as soon as somebody has found nobody there', () => {
  holds(`
    at 0 start a-1
         0   ping a-1: pong
    at 0 start b-1
         0   ping b-1: pong
        50   view 1.1: a-1, b-1
    at 400 crash b-1
    at 420 report b-1
       420   ping b-1: nobody
       420   view 1.2: a-1
    at 600 end`);
});

test('PS2: one that hangs is pinged after suspectMs and out after deadMs; it returns by answering a ping', () => {
  holds(`
    at 0 start a-1
         0   ping a-1: pong
    at 0 start b-1
         0   ping b-1: pong
        50   view 1.1: a-1, b-1
    at 400 hang b-1
      1300   ping b-1: silence
      1800   ping b-1: silence
      2300   ping b-1: silence
      2800   ping b-1: silence
      3300   view 1.2: a-1
    at 4000 wake b-1
      4000   ping b-1: pong
      4050   view 1.3: a-1, b-1
    at 5000 end`);
});

test('PS3: a wrong report changes nothing, and one that was silent for less than deadMs stays', () => {
  holds(`
    at 0 start a-1
         0   ping a-1: pong
    at 0 start b-1
         0   ping b-1: pong
        50   view 1.1: a-1, b-1
    at 300 report b-1
       300   ping b-1: pong
    at 400 hang b-1
    at 420 report b-1
       420   ping b-1: silence
    at 430 report b-1
      1300   ping b-1: silence
      1800   ping b-1: silence
    at 2000 wake b-1
    at 5000 end`);
});

test('PS3: one that leaves stays until it has gone, and never returns; its name may', () => {
  holds(`
    at 0 start a-1
         0   ping a-1: pong
    at 0 start b-1
         0   ping b-1: pong
        50   view 1.1: a-1, b-1
    at 400 leave b-1
       450   view 1.2: a-1, b-1 leaving
    at 700 gone b-1
    at 710 wake b-1
       950   view 1.3: a-1
    at 1000 start b-2
      1000   ping b-2: pong
      1050   view 1.4: a-1, b-2
    at 1200 end`);
});

test('PS3: those that leave together are left out by one view', () => {
  holds(`
    at 0 start a-1
         0   ping a-1: pong
    at 0 start b-1
         0   ping b-1: pong
    at 0 start c-1
         0   ping c-1: pong
        50   view 1.1: a-1, b-1, c-1
    at 400 leave b-1
    at 420 leave c-1
       450   view 1.2: a-1, b-1 leaving, c-1 leaving
    at 700 gone b-1
    at 900 gone c-1
       950   view 1.3: a-1
    at 1200 end`);
});

test('PS4: a restarted worker has its name with the ping that finds the old process gone', () => {
  holds(`
    at 0 start a-1
         0   ping a-1: pong
        50   view 1.1: a-1
    at 400 crash a-1
    at 500 start a-2
       500   ping a-2: pong
       500   ping a-1: nobody
       500   view 1.2: a-2
    at 1000 wake a-1
    at 3000 end`);
});

test('PS4: the name of one that leaves is free at once', () => {
  holds(`
    at 0 start a-1
         0   ping a-1: pong
        50   view 1.1: a-1
    at 400 leave a-1
       450   view 1.2: a-1 leaving
    at 500 start a-2
       500   ping a-2: pong
       500   view 1.3: a-2
       500   ping a-1: pong
    at 2000 end`);
});

test('PS4: one that was replaced while it was paused does not get its name back when it wakes', () => {
  holds(`
    at 0 start a-1
         0   ping a-1: pong
        50   view 1.1: a-1
    at 400 hang a-1
    at 500 start a-2
       500   ping a-2: pong
       500   ping a-1: silence
      1000   ping a-2: pong
      1000   ping a-1: silence
      1500   ping a-2: pong
      1500   ping a-1: silence
      2000   ping a-2: pong
      2000   ping a-1: silence
      2500   ping a-2: pong
      2500   ping a-1: silence
      3000   ping a-2: pong
      3000   ping a-1: silence
      3300   view 1.2: a-2
    at 4000 wake a-1
    at 6000 end`);
});

test('PS4: nor from a service that has just taken over and does not know that it was replaced', () => {
  holds(`
    at 0 start a-1
         0   ping a-1: pong
        50   view 1.1: a-1
    at 400 crash a-1
    at 500 start a-2
       500   ping a-2: pong
       500   ping a-1: nobody
       500   view 1.2: a-2
    at 1000 takeover 2
      1000   view 2.1: a-2
      1000   ping a-2: pong
    at 1100 wake a-1
      1100   ping a-1: pong
      1100   ping a-2: pong
      1350   ping a-2: pong
    at 1500 end`);
});

test('PS4: a second process of a name waits while the first answers, and has it when that crashes', () => {
  holds(`
    at 0 start a-1
         0   ping a-1: pong
        50   view 1.1: a-1
    at 400 start a-2
       400   ping a-2: pong
       400   ping a-1: pong
       650   ping a-1: pong
    at 700 crash a-1
       900   ping a-2: pong
       900   ping a-1: nobody
       900   view 1.2: a-2
    at 1500 end`);
});

test('PS4: a name does not go to one that wanted it once and is not there any more', () => {
  holds(`
    at 0 start a-1
         0   ping a-1: pong
        50   view 1.1: a-1
    at 400 hang a-1
    at 450 start a-2
       450   ping a-2: pong
       450   ping a-1: silence
    at 460 crash a-2
      1300   ping a-1: silence
      1800   ping a-1: silence
      2300   ping a-1: silence
      2800   ping a-1: silence
      3300   view 1.2: nobody
    at 3500 end`);
});

test('PS2: a takeover asks everybody at once, and gives who does not answer deadMs', () => {
  holds(`
    at 0 start a-1
         0   ping a-1: pong
    at 0 start b-1
         0   ping b-1: pong
    at 0 start c-1
         0   ping c-1: pong
        50   view 1.1: a-1, b-1, c-1
    at 400 crash b-1
    at 400 hang c-1
    at 450 takeover 2
       450   view 2.1: a-1, b-1, c-1
       450   ping a-1: pong
       450   ping b-1: nobody
       450   view 2.2: a-1, c-1
       450   ping c-1: silence
      1450   ping c-1: silence
      1950   ping c-1: silence
      2450   ping c-1: silence
      2950   ping c-1: silence
      3450   view 2.3: a-1
    at 4000 end`);
});

test('SC1, PS3: time in which the service itself did not run is nobody’s silence', () => {
  holds(`
    at 0 start a-1
         0   ping a-1: pong
    at 0 start b-1
         0   ping b-1: pong
        50   view 1.1: a-1, b-1
    at 400 sleep 60000
    at 70000 end`);
});

test('PS1: pins are in the next view, and the same pins make none', () => {
  holds(`
    at 0 start a-1
         0   ping a-1: pong
        50   view 1.1: a-1
    at 400 pin order/1 a
       400   view 1.2: a-1, order/1 on a
    at 500 pin order/1 a
    at 600 end`);
});

test('a service that does not know the view of the one before hears for suspectMs who is there before it publishes', () => {
  const first = `
    at 300 start a-1
       300   ping a-1: pong
    at 900 start b-1
       900   ping b-1: pong
      1000   view 2.1: a-1, b-1
    at 1500 end`;
  holds(first, { term: 2 });
});

test('the view is published again every republishMs for those who lost it', () => {
  const play = new ServicePlay();
  play.perform('at 0 start a-1');
  let count = 0;
  play.until(50);
  for (let now = 50; now <= 5_000; now += 50) {
    if (now % 250 === 0) count += play.service.announced(entryOf('a-1'), now, now).length;
    count += play.service.tick(now).length;
  }
  assert.is(count, 4);
});

test('PS1: a service that knows views of its own term goes on above them, and one at the end of its term is silent', () => {
  const version = 7 * viewsPerTerm + viewsPerTerm - 3;
  const view = { version, partitions: 16, workers: [entryOf('a-1')], pins: [] };
  const play = new ServicePlay({ term: 7, view });
  play.actors.set('a-1', { entry: entryOf('a-1'), health: 'alive', announceAt: 0 });
  play.until(10);
  assert.is(play.views.at(-1)?.version, version + 1);
  play.perform('at 100 pin order/1 a');
  assert.is(play.views.at(-1)?.version, version + 2);
  play.perform('at 200 pin order/2 a');
  play.until(2_000);
  assert.is(play.views.length, 2, 'its last number is used');
});

test('PS3: who leaves does not change its mind by an announcement that comes late', () => {
  const play = new ServicePlay();
  play.say(entryOf('a-1', { isLeaving: true }), 0);
  play.say(entryOf('a-1'), 10);
  play.until(100);
  assert.equal(
    play.view?.workers.map(({ isLeaving }) => isLeaving),
    [true],
  );
});

test('PS6: announcements of a dead process that come late keep nobody in the view', () => {
  const play = new ServicePlay();
  for (const id of ['a-1', 'b-1']) play.perform(`at 0 start ${id}`);
  play.perform('at 1000 hang b-1');
  // What it said while it lived comes again, and what was held up comes for the first time.
  for (let now = 1_250; now < 6_000; now += 250) {
    play.until(now);
    play.act(play.service.announced(entryOf('b-1'), now - 1_250, now));
    play.act(play.service.announced(entryOf('b-1'), 900, now));
  }
  assert.equal(
    play.view?.workers.map(({ id }) => id),
    ['a-1'],
  );
});

test('PS6: nor does the answer to a ping of long ago, or to one of another service', () => {
  for (const mark of [
    { term: 1, at: 0 },
    { term: 9, at: 3_000 },
    { term: 1, at: 90_000 },
  ]) {
    const play = new ServicePlay();
    for (const id of ['a-1', 'b-1']) play.perform(`at 0 start ${id}`);
    play.perform('at 1000 hang b-1');
    for (let now = 1_500; now < 6_000; now += 250) {
      play.until(now);
      play.act(play.service.ponged('b-1', mark, now, now));
    }
    assert.equal(
      play.view?.workers.map(({ id }) => id),
      ['a-1'],
    );
  }
});

test('PS6, PS4: late announcements of the process before get a living one neither replaced nor dismissed', () => {
  for (const term of [1, 2]) {
    const play = new ServicePlay();
    play.perform('at 0 start a-1');
    play.perform('at 100 crash a-1');
    play.perform('at 200 start a-2');
    // A service that has just taken over does not know a-1.
    if (term === 2) play.perform('at 900 takeover 2');
    for (let now = 1_000; now < 9_000; now += 250) {
      play.until(now);
      play.act(play.service.announced(entryOf('a-1'), now, now));
      // Its connection was lost for a moment, just then.
      if (now % 2_000 === 0) play.act(play.service.pingAbsent('a-2', now));
      assert.is(play.service.isOut('a-2'), false);
    }
    const ids = new Set(play.views.flatMap(({ workers }) => workers.map(({ id }) => id)));
    play.until(10_000);
    assert.equal([[...ids], play.view?.workers.map(({ id }) => id)], [['a-1', 'a-2'], ['a-2']]);
  }
});

test('a worker that answers and is told to be absent for disputedMs is disputed, until nobody tells it any more', () => {
  const play = new ServicePlay();
  for (const id of ['a-1', 'b-1']) play.perform(`at 0 start ${id}`);
  const seen: unknown[] = [];
  for (let now = 1_000; now <= 20_000; now += 500) {
    play.until(now);
    if (now <= 4_000) play.act(play.service.absent('b-1', 'a-1', now));
    if (now === 2_500 || now === 4_000 || now === 20_000) seen.push(play.service.disputes);
  }
  assert.equal(seen, [[], [{ name: 'b', id: 'b-1', by: 'a-1' }], []]);
});

test('a service that loses more workers at once than are left is told so, once', () => {
  const play = new ServicePlay();
  for (const id of ['a-1', 'b-1', 'c-1', 'd-1', 'e-1']) play.perform(`at 0 start ${id}`);
  const lose = (id: string) => {
    play.act(play.service.pingAbsent(id, play.now));
    return play.service.takeMinority();
  };
  play.until(1_000);
  assert.equal(['b-1', 'c-1', 'd-1', 'e-1'].map(lose), [false, false, true, false]);
  const next = new ServicePlay({ term: 2, view: play.views[0] as View });
  next.until(10);
  assert.equal(
    ['b-1', 'c-1', 'd-1'].map((id) => {
      next.act(next.service.pingAbsent(id, next.now));
      return next.service.takeMinority();
    }),
    [false, false, false],
    'it never heard those',
  );
});

test('PS1: what a worker announces anew is in the next view', () => {
  const play = new ServicePlay();
  play.say(entryOf('a-1'), 0);
  play.until(100);
  for (const change of [
    { weight: 2 },
    { labels: ['gpu'] },
    { types: [{ type: 'game', labels: ['gpu'] }] },
    { protocol: { from: 1, to: 2 } },
    {},
  ]) {
    play.say(entryOf('a-1', change), play.now);
    play.until(play.now + 100);
    assert.equal(play.view?.workers, [entryOf('a-1', change)]);
  }
  assert.is(play.views.length, 6);
});

test('PS7: who does not understand everybody in the view is refused and counted, until those have left', () => {
  const play = new ServicePlay();
  const view = () => play.view?.workers.map(({ id }) => id);
  play.say(entryOf('a-1'), 0);
  play.say(entryOf('b-1', { protocol: { from: 1, to: 3 } }), 10);
  play.until(100);
  assert.equal(view(), ['a-1', 'b-1']);
  const later = { protocol: { from: 2, to: 4 } };
  play.say(entryOf('c-1', later), 110);
  play.until(300);
  assert.equal([view(), play.service.refusedCount], [['a-1', 'b-1'], 1]);
  // One that takes its namesake's place need not understand it, only those that stay.
  play.perform('at 300 crash a-1');
  play.say(entryOf('a-2', later), 310);
  play.until(500);
  assert.equal(view(), ['a-2', 'b-1']);
  play.say(entryOf('c-1', later), 510);
  play.until(700);
  assert.equal(view(), ['a-2', 'b-1', 'c-1']);
});

test('PS7: of two that come at once and do not understand each other only the first to answer is let in', () => {
  const { service } = new ServicePlay();
  const apply = (id: string, version: number, at: number) =>
    service.announced(entryOf(id, { protocol: { from: version, to: version } }), at, at);
  const answer = (id: string, at: number) => service.ponged(id, { term: 1, at }, at + 1, at + 1);
  const ids = (actions: ReturnType<typeof answer>) =>
    actions.flatMap((action) => (action.kind === 'publish' ? action.view.workers.map(({ id }) => id) : []));
  for (const [index, id] of ['a-1', 'b-1'].entries()) apply(id, 1 + index, 10);
  for (const id of ['a-1', 'b-1']) answer(id, 10);
  // So it is with one that waits for its namesake's end, while somebody comes whom it does not understand.
  for (const [index, id] of ['c-1', 'a-2'].entries()) apply(id, 1 + index, 20);
  for (const id of ['c-1', 'a-2']) answer(id, 20);
  assert.equal([ids(service.tick(110)), ids(service.pingAbsent('a-1', 120))], [['a-1', 'c-1'], ['c-1']]);
});

const small: Partial<PlacementLimits> = { workerCountMax: 3, rememberedCountMax: 2 };

test('PS1, PS4: an answer to a ping that comes when the name is another one’s by now does not bring its sender back', () => {
  const play = new ServicePlay();
  play.say(entryOf('a-1'), 0);
  play.act(play.service.pingAbsent('a-1', 100));
  const mark = { term: 1, at: 200 };
  assert.equal(play.service.announced(entryOf('a-1'), 200, 200), [{ kind: 'ping', id: 'a-1', mark }]);
  play.say(entryOf('a-2'), 210);
  play.act(play.service.ponged('a-1', mark, 220, 220));
  play.act(play.service.tick(300));
  assert.equal(play.view?.workers, [entryOf('a-2')]);
});

test('PS5: nor when the view is full by now', () => {
  const play = new ServicePlay({ limits: small });
  play.say(entryOf('a-1'), 0);
  play.act(play.service.pingAbsent('a-1', 100));
  play.service.announced(entryOf('a-1'), 200, 200);
  for (const id of ['b-1', 'c-1', 'd-1']) play.say(entryOf(id), 210);
  play.act(play.service.ponged('a-1', { term: 1, at: 200 }, 220, 220));
  play.act(play.service.tick(300));
  assert.equal(
    play.view?.workers.map(({ id }) => id),
    ['b-1', 'c-1', 'd-1'],
  );
});

test('PS5: further workers than workerCountMax are refused and counted, and get in when there is room', () => {
  const play = new ServicePlay({ limits: small });
  for (const id of ['a-1', 'b-1', 'c-1', 'd-1']) play.perform(`at 0 start ${id}`);
  play.until(100);
  assert.equal(
    play.view?.workers.map(({ id }) => id),
    ['a-1', 'b-1', 'c-1'],
  );
  assert.ok(play.service.refusedCount > 0);
  play.perform('at 100 gone a-1');
  play.until(500);
  assert.equal(
    play.view?.workers.map(({ id }) => id),
    ['b-1', 'c-1', 'd-1'],
  );
});

test('PS5: an announcement that is not sound, or an id under a second name, changes nothing', () => {
  const play = new ServicePlay();
  play.say(entryOf('a-1'), 0);
  for (const bad of [{ name: 'b' }, { weight: 0 }, { labels: ['b', 'a'] }, { protocol: { from: 2, to: 1 } }])
    play.say(entryOf('a-1', bad), 10);
  play.until(100);
  assert.equal(play.view?.workers, [entryOf('a-1')]);
  assert.is(play.service.refusedCount, 4);
});

const ids = ['a-1', 'a-2', 'a-3', 'b-1', 'b-2', 'c-1'];
const someVerb = fc.constantFrom('start', 'crash', 'hang', 'wake', 'leave', 'gone', 'report');
const someEvent = fc.oneof(
  { weight: 12, arbitrary: fc.tuple(someVerb, fc.constantFrom(...ids)).map((words) => words.join(' ')) },
  { weight: 1, arbitrary: fc.constantFrom('sleep 700', 'sleep 5000', 'takeover', 'pin order/1 a', 'pin order/1 b') },
);
const someEvents = fc.array(fc.tuple(fc.nat(1_500), someEvent), { maxLength: 40 });

/** Perform events; those that make no sense now (a process starts once; only who is there changes) are left out. */
function performAll(events: readonly (readonly [pause: number, event: string])[]): ServicePlay {
  const play = new ServicePlay();
  let term = 1;
  for (const [pause, event] of events) {
    const [verb, id] = event.split(' ') as [string, string?];
    const actor = play.actors.get(id ?? '');
    if (verb === 'start' ? actor !== undefined : actor === undefined && /^(crash|hang|wake|leave|gone)$/.test(verb))
      continue;
    // The dead do not wake, and who has gone says no more.
    if (actor?.health === 'crashed' && verb !== 'report') continue;
    play.perform(`at ${play.now + pause} ${event === 'takeover' ? `takeover ${++term}` : event}`);
  }
  return play;
}

test('PS1: whatever happens, versions rise and no view has two workers of a name, or is out of order', () => {
  fc.assert(
    fc.property(someEvents, (events) => {
      const { views } = performAll(events);
      for (const [index, { version, workers }] of views.entries()) {
        assert.ok(index === 0 || version > (views[index - 1]?.version as number), 'versions rise');
        const names = workers.map(({ name }) => name);
        assert.equal(names, [...new Set(names)].sort());
      }
    }),
    { numRuns: 300 },
  );
});

test('PS2, PS3, PS4: once all is quiet the view has who answers, one of each name, and nobody else', () => {
  fc.assert(
    fc.property(someEvents, (events) => {
      const play = performAll(events);
      play.until(play.now + 8_000);
      const inView = new Map(play.view?.workers.map(({ name, id }) => [name, id]));
      const alive = [...play.actors.values()].filter(({ health }) => health === 'alive').map(({ entry }) => entry);
      const awake = new Set(alive.map(({ id }) => id));
      for (const id of inView.values()) assert.ok(awake.has(id), `${id} is not there`);
      const replaced = replacedIn(play);
      for (const { name, id } of alive)
        if (!replaced.has(id))
          assert.ok(inView.has(name), `${id} announces itself and nobody of its name is in the view`);
    }),
    { numRuns: 300 },
  );
});

/** Ids whose name somebody else had in a view after them. */
function replacedIn({ views }: ServicePlay): Set<string> {
  const replaced = new Set<string>();
  const holders = new Map<string, string>();
  for (const { workers } of views)
    for (const { name, id } of workers) {
      const before = holders.get(name);
      if (before !== undefined && before !== id) replaced.add(before);
      holders.set(name, id);
    }
  return replaced;
}

test.run();
