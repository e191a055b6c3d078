/** What every transport must do: the invariants of `runtime/transport.ts`, each by its number. */

import { isSkerryError } from '../../core/errors.ts';
import type { Transport } from '../../runtime/transport.ts';
import { assert, suite } from '../support/suite.ts';

export interface OpenTransport {
  readonly transport: Transport;
  /** Another end of the same transport, as another process has it; where there is none, the same. */
  readonly other: Transport;
  /** Resolves when everything that is under way has arrived. */
  settled(): Promise<void>;
  close(): Promise<void>;
}

const bytes = (...values: number[]): Uint8Array => new Uint8Array(values);

/** Runs the suite by itself: there is no `run` to call. */
export function transportSuite(name: string, open: () => Promise<OpenTransport>): void {
  const test = suite(`transport: ${name}`);
  const rule = (title: string, body: (opened: OpenTransport) => Promise<void>) =>
    test(title, async () => {
      const opened = await open();
      try {
        await body(opened);
      } finally {
        await opened.close();
      }
    });
  /** Everything that arrives for a subject. */
  const arrivals = (transport: Transport, subject: string) => {
    const frames: number[][] = [];
    const stop = transport.listen(subject, (frame) => void frames.push([...frame]));
    return { frames, stop };
  };

  rule('X1: a frame arrives whole, unchanged, and once for each send', async ({ transport, other, settled }) => {
    const { frames } = arrivals(other, 'skerry.worker.a');
    await settled();
    const all = Array.from({ length: 256 }, (_, byte) => byte);
    for (const frame of [all, [], [0], [1, 2, 3], [1, 2, 3]]) transport.send('skerry.worker.a', bytes(...frame));
    await settled();
    assert.equal(
      frames.map((frame) => frame.join()).sort(),
      [all, [], [0], [1, 2, 3], [1, 2, 3]].map((frame) => frame.join()).sort(),
    );
  });

  rule('X1: a frame of the largest size arrives, and a larger one is refused with too-large', async (opened) => {
    const { transport, other, settled } = opened;
    const lengths: number[] = [];
    other.listen('skerry.worker.a', (frame) => void lengths.push(frame.length));
    await settled();
    transport.send('skerry.worker.a', new Uint8Array(transport.frameBytesMax));
    assert.throws(
      () => transport.send('skerry.worker.a', new Uint8Array(transport.frameBytesMax + 1)),
      (error: unknown) => isSkerryError(error, 'too-large'),
    );
    await settled();
    assert.equal(lengths, [transport.frameBytesMax]);
  });

  rule('X1: a subject gets its own frames only, and every listener of it gets them', async (opened) => {
    const { transport, other, settled } = opened;
    const [one, same, second] = [arrivals(other, 's.a'), arrivals(transport, 's.a'), arrivals(other, 's.b')];
    await settled();
    transport.send('s.a', bytes(1));
    other.send('s.b', bytes(2));
    await settled();
    assert.equal([one.frames, same.frames, second.frames], [[[1]], [[1]], [[2]]]);
  });

  rule(
    'X2, P11: what the sender does to its bytes after sending shows nowhere',
    async ({ transport, other, settled }) => {
      const { frames } = arrivals(other, 's.a');
      await settled();
      // A Buffer, too: its slice() shares memory, where that of other bytes copies.
      for (const frame of [bytes(1, 2, 3), Buffer.from([1, 2, 3])]) {
        transport.send('s.a', frame);
        frame.fill(9);
      }
      await settled();
      assert.equal(frames, [
        [1, 2, 3],
        [1, 2, 3],
      ]);
    },
  );

  rule(
    'X2, P11: what a receiver does to its bytes does not show at the sender',
    async ({ transport, other, settled }) => {
      other.listen('s.a', (frame) => void frame.fill(9));
      await settled();
      const frame = bytes(1, 2, 3);
      transport.send('s.a', frame);
      await settled();
      assert.equal([...frame], [1, 2, 3]);
    },
  );

  rule('X1, X3: send hands nothing over on the spot', async ({ transport, settled }) => {
    const { frames } = arrivals(transport, 's.a');
    await settled();
    transport.send('s.a', bytes(1));
    assert.equal(frames, []);
    await settled();
    assert.equal(frames, [[1]]);
  });

  rule(
    'X3: a subject that nobody listens to swallows frames, and so does one whose listener has left',
    async (opened) => {
      const { transport, other, settled } = opened;
      transport.send('s.nobody', bytes(1));
      const { frames, stop } = arrivals(other, 's.a');
      await settled();
      stop();
      stop();
      await settled();
      transport.send('s.a', bytes(1));
      await settled();
      assert.equal(frames, []);
    },
  );

  rule(
    'X3: a listener that leaves does not take another with it; who comes again gets frames again',
    async (opened) => {
      const { transport, other, settled } = opened;
      const [first, second] = [arrivals(other, 's.a'), arrivals(other, 's.a')];
      await settled();
      first.stop();
      transport.send('s.a', bytes(1));
      await settled();
      const third = arrivals(other, 's.a');
      await settled();
      first.stop();
      transport.send('s.a', bytes(2));
      await settled();
      assert.equal([first.frames, second.frames, third.frames], [[], [[1], [2]], [[2]]]);
    },
  );

  rule('X5: who sends to a subject that nobody listens to is told of it, and of no other', async (opened) => {
    const { transport, other, settled } = opened;
    arrivals(other, 's.a');
    await settled();
    const absent: string[] = [];
    const stop = transport.onAbsent((subject) => void absent.push(subject));
    transport.send('s.a', bytes(1));
    transport.send('s.nobody', bytes(1));
    await settled();
    assert.ok(absent.length > 0, 'told');
    assert.equal([...new Set(absent)], ['s.nobody']);
    stop();
    absent.length = 0;
    transport.send('s.no-one', bytes(1));
    await settled();
    assert.equal(absent, []);
  });

  rule('X5: a subject is absent when its last listener has left, and no more when one has come', async (opened) => {
    const { transport, other, settled } = opened;
    const absent: string[] = [];
    transport.onAbsent((subject) => void absent.push(subject));
    const [first, second] = [arrivals(other, 's.a'), arrivals(other, 's.a')];
    await settled();
    first.stop();
    await settled();
    transport.send('s.a', bytes(1));
    await settled();
    assert.equal([absent, second.frames], [[], [[1]]]);
    second.stop();
    await settled();
    transport.send('s.a', bytes(2));
    await settled();
    assert.ok(absent.length > 0, 'told');
    const third = arrivals(other, 's.a');
    await settled();
    absent.length = 0;
    transport.send('s.a', bytes(3));
    await settled();
    assert.equal([absent, third.frames], [[], [[3]]]);
  });

  rule('X7: a subject with any last word is heard with each, told which; nobody is absent there', async (opened) => {
    const { transport, other, settled } = opened;
    const heard: string[] = [];
    const absent: string[] = [];
    const stop = other.listen('s.a.*', ([first], subject) => void heard.push(`${subject} ${first}`));
    const exact = arrivals(other, 's.a.x');
    transport.onAbsent((subject) => void absent.push(subject));
    await settled();
    for (const [index, subject] of ['s.a.x', 's.a.=y', 's.a', 's.a.x.y', 's.b.x'].entries())
      transport.send(subject, bytes(index));
    await settled();
    assert.equal([heard.sort(), exact.frames], [['s.a.=y 1', 's.a.x 0'], [[0]]]);
    assert.equal([...new Set(absent)].sort(), ['s.a', 's.a.x.y', 's.b.x']);
    stop();
    await settled();
    absent.length = 0;
    transport.send('s.a.=y', bytes(1));
    await settled();
    assert.equal([heard.length, [...new Set(absent)]], [2, ['s.a.=y']]);
  });

  rule('X4: nobody is told of an absent subject after close', async ({ transport, settled }) => {
    const absent: string[] = [];
    transport.onAbsent((subject) => void absent.push(subject));
    transport.send('s.nobody', bytes(1));
    await transport.close();
    await settled();
    assert.equal(absent, []);
  });

  rule('X4: after close no handler is called, also not for what was under way, and send is silent', async (opened) => {
    const { transport, other, settled } = opened;
    const { frames } = arrivals(other, 's.a');
    await settled();
    transport.send('s.a', bytes(1));
    await other.close();
    await transport.close();
    transport.send('s.a', bytes(2));
    await settled();
    assert.equal(frames, []);
    await transport.close();
  });

  test.run();
}
