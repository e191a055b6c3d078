/** The way out of a worker. */
import { Activation } from '../../runtime/entity/activation.ts';
import { Batch } from '../../runtime/entity/batch.ts';
import type { Envelope } from '../../runtime/wire/envelope.ts';
import { Outlet } from '../../runtime/worker/outlet.ts';
import { assert, suite } from '../support/suite.ts';
import { tallyWith } from '../support/tally.ts';

const test = suite('outlet');

test('OU1: nothing leaves a worker that has stopped, by itself or with a batch', () => {
  const life = { isDraining: false, isStopped: false };
  const posted: Envelope[] = [];
  const outlet = new Outlet(life, (envelope) => void posted.push(envelope));
  const { post } = outlet;
  const activation = new Activation('tally/a', 0, tallyWith());
  const ack: Envelope = { kind: 'ack', to: 'tally/b', from: 'tally/a', session: 1, number: 1 };
  const batch = new Batch();
  batch.addEnvelope(ack);
  batch.addEnvelope({ ...ack, number: 2 });
  outlet.released(activation, batch);
  post({ ...ack, number: 3 });
  assert.equal(
    posted.map((one) => one.kind === 'ack' && one.number),
    [1, 2, 3],
  );
  life.isStopped = true;
  outlet.released(activation, batch);
  post(ack);
  assert.is(posted.length, 3);
});

test.run();
