/**
 * The forge: bytes that somebody might send who means ill, from one seed. Random ones, honest ones that were damaged, and
 * msgpack that is well formed and says what nobody of ours would say.
 *
 * Knows msgpack and our limits, and nothing of who decodes what: that is `targets.ts`. `hostileEnvelope` is for campaigns
 * against a live cluster too.
 */

import { SeededRandom } from '../../runtime/testing/random.ts';
import { contentKinds, encode, protocol, replyStatuses, streamKinds } from '../../runtime/wire/codec.ts';
import type { Envelope } from '../../runtime/wire/envelope.ts';

/** In hostile texts: no error may show it. */
export const marker = 'hunter2';

/** Numbers at which something ends. */
const edges = [
  0,
  1,
  -1,
  127,
  128,
  255,
  256,
  65_535,
  65_536,
  2 ** 31 - 1,
  2 ** 31,
  2 ** 32 - 1,
  2 ** 32,
  2 ** 53 - 1,
  2 ** 53,
  -(2 ** 53),
  0.5,
  1e15,
  8.64e15,
  1e300,
  Number.MAX_VALUE,
  Number.MIN_VALUE,
  Number.NaN,
  Number.POSITIVE_INFINITY,
  Number.NEGATIVE_INFINITY,
] as const;

const names = [
  '__proto__',
  'constructor',
  'prototype',
  'toJSON',
  'toString',
  'then',
  'length',
  '0',
  '1023',
  '4294967294',
  marker,
  '',
];

export interface Where {
  /** Addresses of entities, partners and subjects that envelopes name, beside made-up ones. */
  readonly addresses: readonly string[];
  readonly partners: readonly string[];
  readonly subjects: readonly string[];
  readonly operations: readonly string[];
}

export class Forge {
  readonly chance: SeededRandom;

  constructor(seed: number | string) {
    this.chance = new SeededRandom(seed, 'forge');
  }

  number(): number {
    if (this.chance.hits(0.5)) return this.chance.between(0, 100);
    return this.chance.hits(0.8) ? this.chance.pick(edges) : this.chance.next() * 2 ** this.chance.between(0, 1_023);
  }

  text(): string {
    const { chance } = this;
    if (chance.hits(0.4)) return chance.pick(names);
    if (chance.hits(0.1)) return String.fromCharCode(chance.between(0xd800, 0xdfff), chance.between(0, 255));
    if (chance.hits(0.05)) return marker.repeat(chance.between(1, 200));
    return String.fromCharCode(...Array.from({ length: chance.between(0, 9) }, () => chance.between(0, 0x2ff)));
  }

  random(lengthMax = 200): Uint8Array {
    return Uint8Array.from({ length: this.chance.between(0, lengthMax) }, () => this.chance.between(0, 255));
  }

  /** Honest bytes with a few things wrong: a bit, a byte, a length, an end, a part of it twice or of another's. */
  damaged(honest: Uint8Array, other: Uint8Array = honest): Uint8Array {
    const { chance } = this;
    let bytes = Buffer.from(honest);
    for (let count = chance.between(1, 4); count > 0 && bytes.length > 0; count--) {
      const at = chance.between(0, bytes.length - 1);
      const many = chance.between(1, 8);
      switch (chance.between(0, 6)) {
        case 0:
          bytes[at] = (bytes[at] as number) ^ (1 << chance.between(0, 7));
          break;
        case 1:
          bytes[at] = chance.pick([
            0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xbf, 0xc0, 0xc1, 0xc6, 0xc9, 0xcb, 0xcf, 0xd4, 0xd6, 0xdb, 0xdd, 0xdf, 0xff,
          ]);
          break;
        case 2:
          bytes = bytes.subarray(0, at);
          break;
        case 3:
          bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + many)]);
          break;
        case 4:
          bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at, at + many), bytes.subarray(at)]);
          break;
        case 5:
          bytes = Buffer.concat([bytes.subarray(0, at), other.subarray(chance.between(0, other.length))]);
          break;
        default:
          bytes = Buffer.concat([bytes.subarray(0, at), this.msgpack(chance.between(0, 3)), bytes.subarray(at)]);
      }
    }
    return bytes;
  }

  /** Well-formed msgpack, mostly: any type, extensions too, any nesting, any name. */
  msgpack(depth = 4): Buffer {
    const { chance } = this;
    if (chance.hits(0.02)) return this.#deep();
    if (depth > 0 && chance.hits(0.5)) return this.#nested(depth);
    switch (chance.between(0, 5)) {
      case 0:
        return Buffer.from(encode(this.number()));
      case 1:
        return Buffer.from(encode(this.text()));
      case 2:
        return Buffer.from(encode(chance.pick([null, true, false, undefined, 2n ** 63n, -(2n ** 63n)])));
      case 3:
        return Buffer.from(encode(this.random(20)));
      case 4:
        return this.#extension();
      default:
        return this.#word(chance.pick(names));
    }
  }

  #nested(depth: number): Buffer {
    const { chance } = this;
    const count = chance.between(0, 4);
    const parts = Array.from({ length: count }, () => this.msgpack(depth - 1));
    if (chance.hits(0.5)) return Buffer.concat([this.#head(0x90, count), ...parts]);
    const fields = parts.flatMap((part) => [chance.hits(0.9) ? this.#word(this.text()) : this.msgpack(0), part]);
    return Buffer.concat([this.#head(0x80, count), ...fields]);
  }

  /** What says how many follow: not always the truth. */
  #head(small: number, count: number): Buffer {
    const { chance } = this;
    const said = chance.hits(0.03) ? chance.pick([count + 1, 0xffff, 0xffffff, 0xffffffff]) : count;
    if (said < 16 && chance.hits(0.8)) return Buffer.from([small | said]);
    const head = Buffer.alloc(5);
    head[0] = small === 0x90 ? 0xdd : 0xdf;
    head.writeUInt32BE(said >>> 0, 1);
    return head;
  }

  #word(text: string): Buffer {
    return Buffer.from(encode(text));
  }

  #deep(): Buffer {
    const open = this.chance.hits(0.5) ? [0x91] : [0x81, 0xa1, 97];
    const levels = this.chance.pick([63, 64, 65, 71, 72, 73, 100, 5_000]);
    return Buffer.concat([...Array.from({ length: levels }, () => Buffer.from(open)), Buffer.from([1])]);
  }

  /** Those that some decoders read as references, records, dates, sets, errors, bundles, and any. */
  #extension(): Buffer {
    const { chance } = this;
    const type = chance.pick([0, 0x42, 0x62, 0x65, 0x69, 0x70, 0x72, 0x73, 0x74, 0x78, 0xff, chance.between(0, 255)]);
    const sizes: readonly (readonly [number, number])[] = [
      [0xd4, 1],
      [0xd5, 2],
      [0xd6, 4],
      [0xd7, 8],
      [0xd8, 16],
    ];
    const [head, size] = chance.pick(sizes);
    const body = Buffer.from(Array.from({ length: size }, () => chance.pick([0, 1, chance.between(0, 255)])));
    return Buffer.concat([Buffer.from([head, type]), body]);
  }

  /** Well-formed, with numbers, names and payloads that nobody of ours would send. */
  hostileEnvelope(where: Where): Envelope {
    const { chance } = this;
    const to = this.#either(where.addresses);
    const head = { to, replyTo: this.#either(where.subjects), call: this.number(), identity: this.text() };
    switch (chance.between(0, 3)) {
      case 0:
        return {
          kind: 'query',
          ...head,
          operation: this.#either(where.operations),
          payload: this.msgpack(),
          deadline: this.number(),
        };
      case 1:
        return {
          kind: 'reply',
          to: this.#either(where.subjects),
          call: this.number(),
          status: chance.pick(replyStatuses),
          bytes: this.msgpack(),
        };
      case 2:
        return {
          kind: chance.pick(streamKinds),
          to,
          from: this.#either(where.partners),
          session: this.number(),
          number: this.number(),
        };
      default: {
        const [session, seq, floor, expires, sent, keepMs] = Array.from({ length: 6 }, () => this.number()) as Six;
        return {
          kind: 'message',
          ...head,
          from: this.#either(where.partners),
          arrival: { session, seq, floor, expires, sent, keepMs },
          content: {
            kind: chance.pick(contentKinds),
            operation: this.#either(where.operations),
            payload: chance.hits(0.8) ? this.msgpack() : this.random(20),
            hold: this.text(),
            wantsAnswer: chance.hits(0.5),
          },
        };
      }
    }
  }

  /** A frame of such envelopes; not by `encodeFrame`, which writes no number that is none. */
  hostileFrame(where: Where): Uint8Array {
    const rows = Array.from({ length: this.chance.between(0, 4) }, () => columnsOf(this.hostileEnvelope(where)));
    return new Uint8Array(encode([protocol.to, this.number(), this.number(), ...rows]));
  }

  #either(known: readonly string[]): string {
    return known.length > 0 && this.chance.hits(0.7) ? this.chance.pick(known) : this.text();
  }
}

type Six = [number, number, number, number, number, number];

/** As rows are written, whatever the numbers are. */
export function columnsOf(envelope: Envelope): unknown[] {
  switch (envelope.kind) {
    case 'message': {
      const { to, from, replyTo, call, identity, arrival, content } = envelope;
      const { session, seq, floor, expires, sent, keepMs } = arrival;
      const asked = [
        contentKinds.indexOf(content.kind),
        content.operation,
        content.payload,
        content.hold,
        content.wantsAnswer,
      ];
      return [0, to, from, replyTo, call, identity, session, seq, floor, expires, sent, keepMs, ...asked];
    }
    case 'query': {
      const { to, replyTo, call, identity, operation, payload, deadline } = envelope;
      return [1, to, replyTo, call, identity, operation, payload, deadline];
    }
    case 'reply':
      return [2, envelope.to, envelope.call, replyStatuses.indexOf(envelope.status), envelope.bytes];
    default:
      return [3, streamKinds.indexOf(envelope.kind), envelope.to, envelope.from, envelope.session, envelope.number];
  }
}
