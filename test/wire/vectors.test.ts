/** docs/protocol.md against the code: what it shows of frames, signals and records is what is written, byte by byte, and read. */
import { behaviour } from '../../core/behaviour.ts';
import { entity } from '../../core/entity.ts';
import { restore } from '../../runtime/entity/record-reader.ts';
import { imageOf } from '../../runtime/entity/record-writer.ts';
import {
  contentKinds,
  decodeFrame,
  encode,
  encodeFrame,
  encodeLocationHint,
  replyStatuses,
  streamKinds,
} from '../../runtime/wire/codec.ts';
import {
  type ControlMessage,
  controlKinds,
  decodeControl,
  encodeControl,
} from '../../runtime/wire/control-messages.ts';
import type { Envelope } from '../../runtime/wire/envelope.ts';
import { assert, suite } from '../support/suite.ts';
import { textOf } from '../support/tree.ts';

const test = suite('vectors');

/** Blocks of the page: of each a line of what it is, in JSON, and a line of hexadecimal digits. */
function vectorsOf(name: string): { readonly value: unknown; readonly bytes: Uint8Array }[] {
  const page = textOf('docs/protocol.md') ?? '';
  const [, block = ''] = new RegExp(`\`\`\`${name}\\n([^\`]*)\`\`\``).exec(page) ?? [];
  const lines = block.trim().split('\n');
  assert.ok(lines.length >= 2 && lines.length % 2 === 0, `${lines.length} lines of ${name}`);
  return lines.flatMap((line, index) =>
    index % 2 === 1
      ? []
      : [{ value: valueIn(line), bytes: Uint8Array.from(Buffer.from(lines[index + 1] as string, 'hex')) }],
  );
}

/** `0x…` stands for bytes. */
function valueIn(json: string): unknown {
  return JSON.parse(json, (_key, value) =>
    typeof value === 'string' && value.startsWith('0x') ? Uint8Array.from(Buffer.from(value.slice(2), 'hex')) : value,
  );
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
/** Bytes compare by what they hold, whatever class they are of; what is undefined is not there. */
const plain = (value: unknown): unknown =>
  JSON.parse(
    JSON.stringify(value, function (this: Record<string, unknown>, key: string, part: unknown) {
      return this[key] instanceof Uint8Array ? `0x${hex(this[key] as Uint8Array)}` : part;
    }),
  );

/** The names behind numbers in a list of the page, or in the first column of a table: each at the place of its number. */
function namesIn(text: string): string[] {
  const found = [...text.matchAll(/(?:^|\| |, )(\d+) ([a-z-]+)/gm)];
  for (const [at, [, number]] of found.entries()) assert.is(Number(number), at, `${number} stands at ${at} of ${text}`);
  return found.map(([, , name]) => name as string);
}

test('K1: the kinds and statuses of docs/protocol.md are those of the code, each with its number', () => {
  const page = textOf('docs/protocol.md') ?? '';
  const listOf = (column: string) =>
    namesIn((new RegExp(`^\\| ${column} \\| (.*) \\|$`, 'm').exec(page)?.[1] ?? '').replace(/\([^)]*\)/g, ''));
  assert.equal(listOf('content kind'), contentKinds);
  assert.equal(listOf('stream kind'), streamKinds);
  assert.equal(listOf('reply status'), replyStatuses);
  const rows = page.split('| kind | columns | to | meaning |')[1]?.split('\n\n')[0] ?? '';
  const signals = [...rows.matchAll(/^\| (\d+ [a-z]+)/gm)].map(([, name]) => name);
  assert.equal(namesIn(signals.join(', ')), controlKinds);
});

test('K1: the frames of docs/protocol.md are written so, and read so', () => {
  const kinds = new Set<string>();
  for (const { value, bytes } of vectorsOf('frames')) {
    const { viewVersion, hops, envelopes, hint, version } = value as ReturnType<typeof decodeFrame>;
    for (const { kind } of envelopes ?? []) kinds.add(kind);
    const written =
      hint === undefined
        ? encodeFrame(envelopes as Envelope[], { viewVersion, hops })
        : encodeLocationHint(hint, viewVersion);
    assert.is(hex(written), hex(bytes));
    assert.equal(plain(decodeFrame(bytes)), plain({ envelopes: [], ...(value as object), version, skipped: 0 }));
  }
  assert.equal([...kinds].sort(), ['ack', 'message', 'probed', 'query', 'reply']);
});

test('the control messages of docs/protocol.md are written so, and read so', () => {
  for (const { value, bytes } of vectorsOf('control-messages')) {
    const { sentAt, ...message } = value as ControlMessage & { sentAt: number };
    assert.is(hex(encodeControl(message as ControlMessage, sentAt)), hex(bytes));
    assert.equal(plain(decodeControl(bytes)), plain(value));
  }
});

const Order = entity('order', { initial: () => ({ item: '' }), operations: {} });
const order = behaviour(Order, {});

test('F1, F4: the entity of docs/protocol.md is read, and written so', () => {
  const vectors = vectorsOf('records').map(({ value, bytes }) => {
    const [name, columns] = value as [string, unknown[]];
    return { name, columns, bytes };
  });
  for (const { name, columns, bytes } of vectors) assert.is(hex(encode(columns)), hex(bytes), name);
  const [first, ...others] = vectors;
  assert.is(first?.name, 'head');
  const records = others.map(({ name, bytes }) => [name, bytes] as const);
  const loaded = { version: 9, head: first?.bytes as Uint8Array, wakeAt: undefined, records };
  const { record, layout } = restore('order/1', loaded, order);
  assert.equal(record.state.value, { item: 'tea' });
  const image = imageOf(record, layout, order);
  assert.is(hex(image.head), hex(loaded.head));
  const named = (all: readonly (readonly [string, Uint8Array])[]) =>
    all.map(([name, bytes]) => `${name} ${hex(bytes)}`).sort();
  assert.equal(named(image.records), named(records));
  assert.equal([...new Set(records.map(([name]) => name[0]))].sort(), ['d', 'f', 'n', 'o', 't', 'x']);
});

test.run();
