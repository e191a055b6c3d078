/** What a turn changes in the bytes of a state (core/lent.ts), and what it puts at several places of it. */
import { isSkerryError } from '../../core/errors.ts';
import type { Patch } from '../../core/patch.ts';
import { applyPatch } from '../../core/patch.ts';
import { Recorder } from '../../core/recorder.ts';
import { storable } from '../../core/storable.ts';
import { assert, suite } from '../support/suite.ts';

const rules = suite('lent bytes');

// biome-ignore lint/suspicious/noExplicitAny: a draft is used here like any value of plain JavaScript
type Loose = any;
type Box = { value: Loose };

/** Runs one turn; returns its patch, and checks that it leads from before to after. */
function turn(holder: Box, act: (state: Loose) => unknown): Patch {
  const before = { value: storable(holder.value, 'before') };
  const recorder = new Recorder(true);
  act(recorder.open(holder));
  recorder.settle();
  const patch = recorder.patch(holder);
  recorder.keep();
  if (patch !== 'whole') assert.equal(applyPatch(before.value, patch), holder.value);
  return patch;
}

rules(
  'D11: what is changed in bytes that a turn reads is stored, wherever they lie by then, and undone with the turn',
  () => {
    const holder: Box = {
      value: {
        seal: new Uint8Array([1, 2, 3]),
        list: [new Uint8Array([1]), new Uint8Array(5)],
        in: { it: new Uint8Array(9) },
      },
    };
    const { seal } = holder.value;
    let lent = new Uint8Array();
    const patch = turn(holder, (state) => {
      lent = state.seal;
      state.seal[0] = 9;
      assert.is(state.seal, lent);
      assert.is(lent[0], 9);
      const [first, second] = state.list;
      state.list.unshift('x');
      second.fill(7);
      first[0] = 4;
      state.gone = state.list.pop();
      const { it } = state.in;
      state.out = state.in;
      it[8] = 1;
    });
    assert.not.equal(patch, []);
    lent[1] = 99;
    assert.equal(holder.value.seal, new Uint8Array([9, 2, 3]));
    assert.equal(seal, new Uint8Array([1, 2, 3]));
    assert.equal(holder.value.list, ['x', new Uint8Array([4])]);
    assert.equal(holder.value.gone, new Uint8Array(5).fill(7));
    assert.is(holder.value.out.it[8], 1);
    assert.is(holder.value.in.it[8], 1);
    const recorder = new Recorder(true);
    const state = recorder.open(holder) as Loose;
    state.seal[0] = 5;
    assert.equal(storable(state.seal, 'x'), new Uint8Array([5, 2, 3]));
    assert.equal((storable(state, 'x') as Loose).seal, new Uint8Array([5, 2, 3]));
    state.seal[0] = 6;
    recorder.settle();
    recorder.undo();
    assert.equal(holder.value.seal, new Uint8Array([9, 2, 3]));
  },
);

rules(
  'D11: bytes that are only read, or changed after they were replaced, change nothing; a whole state of bytes can',
  () => {
    const holder: Box = { value: { seal: new Uint8Array([1, 2, 3, 4, 5]), gone: new Uint8Array(2) } };
    assert.equal(
      turn(holder, (state) => state.seal[4] + state.gone.length),
      [],
    );
    const patch = turn(holder, (state) => {
      const { seal, gone } = state;
      state.seal = 'none';
      delete state.gone;
      seal[0] = 9;
      gone[0] = 9;
    });
    assert.equal(patch, [[['seal'], 'none'], [['gone']]]);
    const bare: Box = { value: new Uint8Array([1]) };
    assert.is(
      turn(bare, (state) => {
        state[0] = 2;
      }),
      'whole',
    );
    assert.equal(bare.value, new Uint8Array([2]));
  },
);

rules('D6: what a turn puts at several places is bounded by the limit of states, however it grows', () => {
  const holder: Box = { value: { x: { deep: 1 } } };
  const recorder = new Recorder(true, undefined, 100_000);
  const state = recorder.open(holder) as Loose;
  try {
    for (let level = 0; level < 40; level++) state.x = { left: state.x, right: state.x };
    recorder.settle();
    assert.unreachable();
  } catch (error) {
    assert.ok(isSkerryError(error, 'too-large'), String(error));
    assert.match(error.message, /more than 100000 bytes.*stateBytesMax/);
  }
  recorder.undo();
  assert.equal(holder.value, { x: { deep: 1 } });
});

rules.run();
