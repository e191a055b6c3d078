/**
 * A campaign: so many hostile inputs from one seed, against every decoder; what was accepted, and what broke.
 *
 * Broken is: a throw that is no refusal of ours, an error that shows what came, a prototype that was reached, and something
 * accepted that cannot be written and read again. How long decoding takes is measured by doubling sizes (`growthOf`), and told
 * for the slowest input.
 */
import { isSkerryError } from '../../core/errors.ts';
import { Forge, marker } from './forge.ts';
import { type Target, targets } from './targets.ts';

export interface Tally {
  accepted: number;
  refused: number;
  /** The most that one input took, µs for each KB of it (of at least 1 KB). */
  slowest: number;
}

export interface Broken {
  readonly target: string;
  readonly bytes: string;
  readonly what: string;
}

export interface Outcome {
  readonly tallies: ReadonlyMap<string, Tally>;
  readonly broken: readonly Broken[];
  /** Bytes of heap, at most, during the campaign. */
  readonly heapMax: number;
}

const brokenMax = 20;
const inherited = Reflect.ownKeys(Object.prototype).length;

export function campaign({ count, seed }: { count: number; seed: number }): Outcome {
  const forge = new Forge(seed);
  const tallies = new Map(targets.map(({ name }) => [name, { accepted: 0, refused: 0, slowest: 0 } as Tally]));
  const broken: Broken[] = [];
  let heapMax = 0;
  for (let index = 0; index < count && broken.length < brokenMax; index++) {
    const target = targets[index % targets.length] as Target;
    const bytes = inputFor(target, forge);
    const what = attempt(target, bytes, tallies.get(target.name) as Tally);
    if (what !== undefined) broken.push({ target: target.name, bytes: Buffer.from(bytes).toString('hex'), what });
    if (index % 1_000 === 0) heapMax = Math.max(heapMax, process.memoryUsage().heapUsed);
  }
  return { tallies, broken, heapMax };
}

function inputFor(target: Target, forge: Forge): Uint8Array {
  const { chance } = forge;
  const sample = chance.pick(target.samples);
  switch (chance.between(0, 5)) {
    case 0:
      return forge.random();
    case 1:
      return forge.msgpack(6);
    case 2:
      if (target.forged !== undefined) return target.forged(forge);
      return forge.damaged(sample, chance.pick(target.samples));
    default:
      return forge.damaged(sample, chance.pick(target.samples));
  }
}

/** Decodes once; says what is wrong, if anything is. */
function attempt(target: Target, bytes: Uint8Array, tally: Tally): string | undefined {
  let decoded: unknown;
  const startedAt = performance.now();
  try {
    decoded = target.decode(bytes);
  } catch (error) {
    tally.refused += 1;
    return refusalProblem(error) ?? slowness(target, bytes, tally, startedAt);
  }
  tally.accepted += 1;
  const problem = slowness(target, bytes, tally, startedAt);
  if (problem !== undefined) return problem;
  try {
    target.check?.(decoded, bytes);
  } catch (error) {
    return `it was accepted, and then: ${String(error)}`;
  }
  return undefined;
}

/** Only our own errors are refusals: another is an accident, and one that shows what came can hold anything. */
function refusalProblem(error: unknown): string | undefined {
  if (!(error instanceof Error)) return `it threw what is no error: ${typeof error}`;
  if (error.constructor !== Error && !isSkerryError(error)) return `it threw ${error.stack}`;
  const text = String(error);
  if (text.includes(marker) || text.length > 500) return `its error shows what came: ${text.slice(0, 200)}`;
  return undefined;
}

/** Notes how long it took; also where a prototype was reached is found here, after every decode. */
function slowness(target: Target, bytes: Uint8Array, tally: Tally, startedAt: number): string | undefined {
  const perKb = ((performance.now() - startedAt) * 1_000) / Math.max(1, bytes.length / 1_024);
  if (perKb > tally.slowest) tally.slowest = Math.max(tally.slowest, Math.min(perKb, again(target, bytes)));
  return Reflect.ownKeys(Object.prototype).length === inherited ? undefined : 'it reached the prototype of objects';
}

/** A pause of the process is no slowness of the decoder: the least of ten more. */
function again(target: Target, bytes: Uint8Array): number {
  let least = Number.POSITIVE_INFINITY;
  for (let round = 0; round < 10; round++) {
    const startedAt = performance.now();
    try {
      target.decode(bytes);
    } catch {
      // As before.
    }
    least = Math.min(least, ((performance.now() - startedAt) * 1_000) / Math.max(1, bytes.length / 1_024));
  }
  return least;
}

const head32 = (type: number, count: number): Buffer => {
  const head = Buffer.alloc(5);
  head[0] = type;
  head.writeUInt32BE(count, 1);
  return head;
};

/** Values that grow with a size, each of another kind, so many bytes long. */
export const growing: Readonly<Record<string, (bytes: number) => Uint8Array>> = {
  'empty lists': (bytes) => Buffer.concat([head32(0xdd, bytes), Buffer.alloc(bytes, 0x90)]),
  'empty objects': (bytes) => Buffer.concat([head32(0xdd, bytes), Buffer.alloc(bytes, 0x80)]),
  'many names': (bytes) => fields(bytes, 8, (index) => index.toString(36).padStart(6, 'a')),
  'one name again': (bytes) => fields(bytes, 8, () => 'abcdef'),
  'numbered names': (bytes) => fields(bytes, 8, (index) => String(100_000 + ((index * 7_919) % 900_000))),
  'far numbers': (bytes) => repeated(bytes, Buffer.from([0x81, 0xa4, ...Buffer.from('1023'), 0])),
  'words alike': (bytes) => repeated(bytes, Buffer.concat([Buffer.from([0xbf]), Buffer.alloc(31, 97)])),
  deep: (bytes) => repeated(bytes, Buffer.concat([Buffer.alloc(60, 0x91), Buffer.from([0])])),
  numbers: (bytes) => repeated(bytes, Buffer.from([0xcb, 0x7f, 0xef, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff])),
  'short bytes': (bytes) => repeated(bytes, Buffer.from([0xc4, 1, 7])),
};

function repeated(bytes: number, part: Buffer): Buffer {
  const count = Math.floor(bytes / part.length);
  return Buffer.concat([head32(0xdd, count), ...Array.from({ length: count }, () => part)]);
}

function fields(bytes: number, each: number, nameOf: (index: number) => string): Buffer {
  const count = Math.floor(bytes / each);
  const body = Array.from({ length: count }, (_, index) => Buffer.from(nameOf(index)));
  return Buffer.concat([
    head32(0xdf, count),
    ...body.flatMap((name) => [Buffer.from([0xa0 + name.length]), name, Buffer.from([1])]),
  ]);
}

/** Milliseconds of CPU to decode so many bytes of it, the least of `rounds`. */
export function leastMs(decode: (bytes: Uint8Array) => unknown, bytes: Uint8Array, rounds = 5): number {
  let least = Number.POSITIVE_INFINITY;
  for (let round = 0; round < rounds; round++) {
    const before = process.cpuUsage();
    try {
      decode(bytes);
    } catch {
      // A refusal takes time as well.
    }
    const { user, system } = process.cpuUsage(before);
    least = Math.min(least, (user + system) / 1_000);
  }
  return least;
}
