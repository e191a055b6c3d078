/** Who hears of what became durable. */
import { Activation } from '../../runtime/entity/activation.ts';
import { Batch } from '../../runtime/entity/batch.ts';
import { Release, type ReleaseSink } from '../../runtime/worker/release.ts';
import { assert, suite } from '../support/suite.ts';
import { tallyWith } from '../support/tally.ts';

const test = suite('release');

/** A release with three sinks: the middle one hears both, the others one each. */
function withSinks() {
  const life = { isDraining: false, isStopped: false };
  const heard: string[] = [];
  const activation = new Activation('tally/a', 0, tallyWith());
  const batch = new Batch();
  const hear = (name: string) => (one: Activation, other: Batch, version: number) => {
    assert.ok(one === activation && other === batch);
    heard.push(`${name} ${version}`);
  };
  const sinks: ReleaseSink[] = [
    { stored: hear('index stored') },
    { released: hear('watch released'), stored: hear('watch stored') },
    { released: hear('post released') },
  ];
  const release = new Release(life);
  release.connect(sinks);
  return { release, life, heard, activation, batch };
}

test('RE1: every output leaves before what follows from that the store has it, each in the order of the list', () => {
  const { release, heard, activation, batch } = withSinks();
  release.stored(activation, batch, 7);
  assert.equal(heard, ['watch released 7', 'post released 7', 'index stored 7', 'watch stored 7']);
});

test('RE1: of a batch that no store has, only its outputs are told', () => {
  const { release, heard, activation, batch } = withSinks();
  release.released(activation, batch, 3);
  assert.equal(heard, ['watch released 3', 'post released 3']);
});

test('RE2: once the worker has stopped nobody hears of a batch, from the store or not', () => {
  const { release, life, heard, activation, batch } = withSinks();
  life.isStopped = true;
  release.stored(activation, batch, 7);
  release.released(activation, batch, 8);
  assert.equal(heard, []);
});

test.run();
