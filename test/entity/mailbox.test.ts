/** A mailbox against a plain array, by random histories. */
import fc from 'fast-check';
import { envelopeBytes, type Item, isYoung, Mailbox, sizeOf } from '../../runtime/entity/mailbox.ts';
import type { MessageEnvelope } from '../../runtime/wire/envelope.ts';
import { assert, suite } from '../support/suite.ts';

const test = suite('mailbox');
const itemOf = (id: number): Item => ({ kind: 'effect', id: String(id), outcome: { status: 'done', output: id } });
const step = fc.oneof(
  { weight: 6, arbitrary: fc.constant('push' as const) },
  { weight: 5, arbitrary: fc.constant('shift' as const) },
  { weight: 2, arbitrary: fc.constant('back' as const) },
  { weight: 1, arbitrary: fc.constant('all' as const) },
);

test('HD1, P12: an item takes what it carries, its extension too', () => {
  const extension = new Uint8Array(1_000);
  const message = messageOf('@c', 1, 1);
  const { length } = message.content.payload;
  assert.is(sizeOf(message), envelopeBytes + length);
  assert.is(sizeOf({ ...message, extension }), envelopeBytes + length + 1_000);
  const ack = { kind: 'ack', to: 'a/b', from: 'c/d', session: 1, number: 1 } as const;
  assert.equal([sizeOf(ack), sizeOf({ ...ack, extension })], [envelopeBytes, envelopeBytes + 1_000]);
  assert.is(sizeOf(itemOf(1)), envelopeBytes);
});

test('what is over matters to nobody any more; signals of streams and wakes always do', () => {
  const message = messageOf('@c', 1, 1);
  const { expires } = message.arrival;
  assert.equal([isYoung(message, expires), isYoung(message, expires + 1)], [true, false]);
  const query = { kind: 'query', to: 'a/b', replyTo: '', call: 1, identity: '', operation: 'o' } as const;
  const asked = { ...query, payload: new Uint8Array(0), deadline: 5 };
  assert.equal([isYoung(asked, 5), isYoung(asked, 6)], [true, false]);
  assert.ok(isYoung({ kind: 'wake' }, Number.MAX_VALUE));
});

test('first in first out, with what is put back first; counted exactly', () => {
  const property = fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
    const mailbox = new Mailbox();
    let model: Item[] = [];
    for (const [index, kind] of steps.entries()) {
      if (kind === 'push') {
        mailbox.push(itemOf(index));
        model.push(itemOf(index));
      } else if (kind === 'shift') assert.equal(mailbox.shift(), model.shift());
      else if (kind === 'back') {
        mailbox.unshift(itemOf(index));
        model = [itemOf(index), ...model];
      } else {
        assert.equal(mailbox.takeAll(), model);
        model = [];
      }
      assert.is(mailbox.count, model.length);
    }
    assert.equal(mailbox.takeAll(), model);
  });
  fc.assert(property, { seed: 11, numRuns: 200 });
});

const messageOf = (from: string, seq: number, floor: number, call = seq): MessageEnvelope => ({
  kind: 'message',
  to: 'tally/a',
  from,
  replyTo: 's',
  call,
  identity: '',
  arrival: { session: 1, seq, floor, expires: 1, sent: 1, keepMs: 0 },
  content: { kind: 'operation', operation: 'see', payload: new Uint8Array(seq), hold: '', wantsAnswer: false },
});

test('MX1: a copy takes the place of its original, and tells its floor; another call of the same number has its own', () => {
  const mailbox = new Mailbox();
  const ids = [
    ['@a', 1],
    ['@a', 2],
    ['@b', 1],
    ['@a', 3],
  ] as const;
  for (const [from, seq] of ids) mailbox.push(messageOf(from, seq, 1));
  const { bytes } = mailbox;
  assert.not.ok(mailbox.renew(messageOf('@a', 2, 2)), 'it knows nobody yet');
  mailbox.registers(true);
  assert.ok(mailbox.renew(messageOf('@a', 2, 2)));
  assert.ok(mailbox.renew(messageOf('@b', 1, 1)));
  assert.not.ok(mailbox.renew(messageOf('@a', 4, 2)));
  assert.not.ok(mailbox.renew(messageOf('@a', 3, 2, 99)));
  assert.not.ok(mailbox.renew(messageOf('@c', 1, 1)));
  mailbox.push(messageOf('@a', 4, 2));
  assert.ok(mailbox.renew(messageOf('@a', 4, 3)));
  assert.is(mailbox.bytes, bytes + envelopeBytes + 4);
  const order = [];
  for (let item = mailbox.shift(); item?.kind === 'message'; item = mailbox.shift())
    order.push([item.from, item.arrival.seq, item.arrival.floor]);
  assert.equal(order, [
    ['@a', 1, 1],
    ['@a', 2, 2],
    ['@b', 1, 1],
    ['@a', 3, 1],
    ['@a', 4, 3],
  ]);
  assert.equal([mailbox.bytes, mailbox.count], [0, 0]);
  assert.not.ok(mailbox.renew(messageOf('@a', 2, 2)), 'what was taken out has no place any more');
});

test('MX1, P12: a copy that is larger than its original brings its dates and no bytes', () => {
  const mailbox = new Mailbox();
  mailbox.registers(true);
  mailbox.push(messageOf('@a', 1, 1));
  const { bytes } = mailbox;
  const copy = messageOf('@a', 1, 2);
  assert.ok(mailbox.renew({ ...copy, content: { ...copy.content, payload: new Uint8Array(100_000) } }));
  const item = mailbox.shift();
  assert.equal(item?.kind === 'message' && [item.content.payload.length, item.arrival.floor], [1, 2]);
  assert.equal([bytes, mailbox.bytes], [envelopeBytes + 1, 0]);
});

test('MX1: many of one sender and one of many, put in, renewed and taken out at random, are each once', () => {
  const act = fc.record({ sender: fc.nat(4), seq: fc.integer({ min: 1, max: 6 }), isTaken: fc.boolean() });
  const property = fc.property(fc.array(act, { maxLength: 120 }), (acts) => {
    const mailbox = new Mailbox();
    mailbox.registers(true);
    const waiting: string[] = [];
    const nameOf = ({ from, arrival }: MessageEnvelope) => `${from} ${arrival.seq}`;
    for (const [floor, { sender, seq, isTaken }] of acts.entries()) {
      const message = messageOf(`@${sender}`, seq, floor);
      const item = isTaken ? mailbox.shift() : undefined;
      if (isTaken) assert.is(item?.kind === 'message' ? nameOf(item) : undefined, waiting.shift());
      else if (waiting.includes(nameOf(message))) assert.ok(mailbox.renew(message));
      else {
        assert.not.ok(mailbox.renew(message));
        mailbox.push(message);
        waiting.push(nameOf(message));
      }
    }
    assert.equal(
      mailbox.takeAll().map((item) => (item.kind === 'message' ? nameOf(item) : '')),
      waiting,
    );
  });
  fc.assert(property, { seed: 12, numRuns: 200 });
});

test('long queues keep their order while they are drained and filled', () => {
  const mailbox = new Mailbox();
  let [next, expected] = [0, 0];
  for (let round = 0; round < 20; round++) {
    for (let count = 0; count < 700; count++) mailbox.push(itemOf(next++));
    for (let count = 0; count < 600; count++) assert.equal(mailbox.shift(), itemOf(expected++));
  }
  assert.is(mailbox.count, next - expected);
  for (; expected < next; expected++) assert.equal(mailbox.shift(), itemOf(expected));
  assert.is(mailbox.shift(), undefined);
  assert.is(mailbox.count, 0);
});

test.run();
