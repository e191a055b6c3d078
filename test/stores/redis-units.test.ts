/** What holds of the parts of the store on Redis, without a server. */
import fc from 'fast-check';
import { compareUtf8 } from '../../runtime/stores/memory.ts';
import { RedisCounters } from '../../runtime/stores/redis/counters.ts';
import { RedisLayout } from '../../runtime/stores/redis/layout.ts';
import { firstAddresses } from '../../runtime/stores/redis/listing.ts';
import { requestOf } from '../../runtime/stores/redis/request.ts';
import { assert, suite } from '../support/suite.ts';

const test = suite('redis: parts');
const seed = 2_007;

test('RK1: all keys of a home have its hash tag, also those of the partitions above it', () => {
  const layout = new RedisLayout('one', 16);
  const address = fc.string({ unit: 'binary', minLength: 1, maxLength: 40 });
  const tagged = fc.property(fc.nat(2 ** 52), address, (partition, text) => {
    const keys = [
      layout.ownership(partition),
      layout.entity(partition, text),
      layout.lazyRecords(partition, text),
      layout.lazyNames(partition, text),
      layout.wakes(partition),
      layout.addresses(partition),
      layout.pins(partition),
    ];
    // As Redis Cluster finds it: between the first brace and the first closing one behind it.
    for (const key of keys) assert.is(/^[^{]*\{([^}]+)\}/.exec(key)?.[1], String(partition % 16));
    assert.is(new Set(keys).size, keys.length);
  });
  fc.assert(tagged, { seed, numRuns: 300 });
});

test('a command reads as Redis wants it, whatever is in its arguments', () => {
  const bytes = (parts: Parameters<typeof requestOf>[0]): string => requestOf(parts).toString('latin1');
  assert.is(bytes(['GET', 'a']), '*2\r\n$3\r\nGET\r\n$1\r\na\r\n');
  assert.is(bytes(['', 12.5, Uint8Array.of(13, 10, 0, 255)]), '*3\r\n$0\r\n\r\n$4\r\n12.5\r\n$4\r\n\r\n\0ÿ\r\n');
  const text = fc.string({ unit: 'binary', maxLength: 200 });
  const any = fc.array(fc.oneof(text, fc.uint8Array({ maxLength: 200 })), { maxLength: 12 });
  const framed = fc.property(any, (parts) => {
    const values = parts.map((part) => Buffer.from(part));
    const wanted = values.flatMap((value) => [Buffer.from(`$${value.length}\r\n`), value, Buffer.from('\r\n')]);
    const whole = Buffer.concat([Buffer.from(`*${parts.length}\r\n`), ...wanted]);
    assert.is(Buffer.compare(requestOf(parts), whole), 0);
  });
  fc.assert(framed, { seed, numRuns: 500 });
});

/** Asked and answered at once. */
function seen(counters: RedisCounters, partition: number, epoch: number, counter: number) {
  return counters.seen(partition, { epoch, counter }, counters.known(partition));
}

test('RC1: a partition is lost when its counter or its epoch is lower than it was, until it is claimed', () => {
  for (const [epoch, counter, gone] of [
    [10, 4, 1],
    [9, 5, 0],
    [9, 3, 2],
    [0, 0, 5],
    [12, 4, 1],
  ] as const) {
    const counters = new RedisCounters();
    counters.claimed(3, 10, 5);
    assert.equal(seen(counters, 3, epoch, counter), { partition: 3, epoch: 10, commits: gone });
    assert.ok(counters.isLost(3, 10));
    assert.not(counters.isLost(3, 11));
    counters.claimed(3, 11, counter);
    assert.not(counters.isLost(3, 11));
  }
});

test("RC1: what goes forward is not lost: one's own commits, and the claim of another", () => {
  const counters = new RedisCounters();
  counters.claimed(3, 10, 5);
  for (const [epoch, counter] of [
    [10, 5],
    [10, 8],
    [11, 8],
    [11, 20],
  ] as const)
    assert.is(seen(counters, 3, epoch, counter), undefined);
  assert.is(counters.least(3, 10), 8);
  assert.is(counters.least(3, 9), 0);
  assert.is(seen(counters, 4, 1, 0), undefined);
});

test('RC1: answers that are looked at in another order than they were given in are no loss', () => {
  const counters = new RedisCounters();
  counters.claimed(3, 10, 5);
  const asked = counters.known(3);
  assert.is(seen(counters, 3, 10, 9), undefined);
  assert.is(counters.seen(3, { epoch: 10, counter: 7 }, asked), undefined);
  assert.is(counters.least(3, 10), 9);
  counters.claimed(3, 11, 9);
  assert.is(counters.seen(3, { epoch: 10, counter: 7 }, asked), undefined);
  assert.is(counters.seen(3, { epoch: 10, counter: 4 }, asked), undefined);
  assert.not(counters.isLost(3, 11));
});

test('RC1: the epochs before a lost one are lost with it, also where the server has one of them again', () => {
  const counters = new RedisCounters();
  counters.claimed(3, 10, 5);
  counters.claimed(3, 12, 9);
  assert.not(counters.isLost(3, 10));
  assert.equal(seen(counters, 3, 10, 7), { partition: 3, epoch: 12, commits: 2 });
  for (const epoch of [10, 11, 12]) assert.ok(counters.isLost(3, epoch), `${epoch}`);
  counters.claimed(3, 13, 7);
  for (const epoch of [10, 12, 13]) assert.not(counters.isLost(3, epoch), `${epoch}`);
});

test('RC2: a loss is told once', () => {
  const counters = new RedisCounters();
  counters.claimed(3, 10, 5);
  assert.ok(seen(counters, 3, 10, 4));
  assert.is(seen(counters, 3, 10, 4), undefined);
  assert.is(seen(counters, 3, 10, 3), undefined);
});

type Step =
  | { readonly kind: 'send' | 'write' | 'answer' | 'lose'; readonly call: number }
  | { readonly kind: 'go back'; readonly to: number };

/** What an owner's calls do to a server that may go back: what it has at the end, and what the owner was told. */
function ran(steps: readonly Step[]) {
  const counters = new RedisCounters();
  const share = { partition: 3, epoch: 10 };
  counters.claimed(3, 10, 5);
  const calls = new Map<number, 'sent' | 'written' | 'refused' | 'over'>();
  const accepted = new Set<number>();
  let server: number[] = [];
  for (const step of steps) {
    if (step.kind === 'go back') {
      server = server.slice(0, step.to);
      continue;
    }
    const { kind, call } = step;
    const state = calls.get(call);
    if (kind === 'send' && state === undefined) {
      counters.sent(share);
      calls.set(call, 'sent');
    } else if (kind === 'write' && state === 'sent') {
      // Some are refused.
      if (call % 4 !== 3) server.push(call);
      calls.set(call, call % 4 === 3 ? 'refused' : 'written');
    } else if (kind === 'answer' && (state === 'written' || state === 'refused')) {
      counters.answered(share, state === 'written' ? 1 : 0);
      if (state === 'written') accepted.add(call);
      calls.set(call, 'over');
    } else if (kind === 'lose' && state === 'written') calls.set(call, 'over');
  }
  return { mark: counters.markOf(3, 10), server, accepted };
}

test('RC3, S10: a server with as much as the mark says has what the owner was told, and nothing else', () => {
  const kind = fc.constantFrom('send', 'write', 'answer', 'lose');
  const step: fc.Arbitrary<Step> = fc.oneof(
    { weight: 20, arbitrary: fc.record({ kind, call: fc.nat(7) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('go back'), to: fc.nat(7) }) },
  );
  let equal = 0;
  let open = 0;
  const proves = fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
    const { mark, server, accepted } = ran(steps);
    if (mark === undefined) open += 1;
    if (mark !== 5 + server.length) return;
    equal += 1;
    assert.equal([...server].sort(), [...accepted].sort());
  });
  fc.assert(proves, { seed, numRuns: 3_000 });
  assert.ok(equal > 100 && open > 100, `${equal} equal, ${open} open`);
});

test('RC3: of another epoch, or of a partition that is lost, there is no mark', () => {
  const counters = new RedisCounters();
  assert.is(counters.markOf(3, 10), undefined);
  counters.claimed(3, 10, 5);
  assert.equal([counters.markOf(3, 10), counters.markOf(3, 9)], [5, undefined]);
  // What is answered late belongs to the claim before.
  counters.sent({ partition: 3, epoch: 10 });
  counters.claimed(3, 11, 6);
  counters.answered({ partition: 3, epoch: 10 }, 1);
  assert.is(counters.markOf(3, 11), 6);
  seen(counters, 3, 11, 4);
  assert.is(counters.markOf(3, 11), undefined);
});

test('a page of addresses from many homes is what sorting all of them gives, and fetches little more', async () => {
  const address = fc.tuple(fc.nat(7), fc.string({ unit: 'binary', minLength: 1, maxLength: 4 }));
  const options = fc.record({
    after: fc.option(fc.string({ unit: 'binary', maxLength: 4 }), { nil: undefined }),
    limit: fc.integer({ min: 1, max: 60 }),
  });
  const all = fc.uniqueArray(address, { maxLength: 300, selector: ([, text]) => text });
  const asSorted = fc.asyncProperty(all, options, async (placed, { after, limit }) => {
    const behind = (text: string, past: string | undefined) => past === undefined || compareUtf8(text, past) > 0;
    const fetch = async (home: number, past: string | undefined, count: number) =>
      placed
        .filter(([where, text]) => where === home && behind(text, past))
        .map(([, text]) => text)
        .sort(compareUtf8)
        .slice(0, count);
    const texts = placed.map(([, text]) => text).filter((text) => behind(text, after));
    const page = await firstAddresses(fetch, { homes: 8, after, limit });
    assert.equal(page, texts.sort(compareUtf8).slice(0, limit));
  });
  await fc.assert(asSorted, { seed, numRuns: 300 });

  let fetched = 0;
  const even = async (home: number, past: string | undefined, count: number) => {
    const start = past === undefined ? home : Number(past) + 256;
    const found = Array.from({ length: count }, (_, at) => String(start + at * 256).padStart(7, '0'));
    fetched += found.length;
    return found;
  };
  const page = await firstAddresses(even, { homes: 256, after: undefined, limit: 10_000 });
  assert.is(page.at(-1), '0009999');
  assert.ok(fetched < 25_000, `${fetched} were fetched`);
});

test.run();
