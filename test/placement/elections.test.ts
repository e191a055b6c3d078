/** The election: a cluster of candidates with one lease, through crashes, cuts and a store put back. */
import fc from 'fast-check';
import { Election, type ElectionAction, type SeenLease } from '../../placement/election.ts';
import { defaultPlacementLimits } from '../../placement/limits.ts';
import { viewsPerTerm } from '../../placement/service.ts';
import type { Lease } from '../../runtime/store.ts';
import { leaseAfter } from '../../runtime/stores/lease.ts';
import { assert, suite } from '../support/suite.ts';

const test = suite('elections');
const limits = defaultPlacementLimits;

/** Candidates over one lease, whose service is heard by all who are on its side of the network and not cut off. */
class Cluster {
  readonly members = new Map<string, Election>();
  readonly cut = new Set<string>();
  /** Those of the second side of a network that is cut in two. */
  readonly beyond = new Set<string>();
  readonly apart = new Set<string>();
  lease: Lease = { holder: '', term: 0, until: 0 };
  serveCount = 0;
  now = 0;
  /** How far the steady clock of each is behind: its machine stood still for so long. */
  readonly behind = new Map<string, number>();
  /** For how long a service that begins publishes nothing. */
  silentMs = 0;
  readonly #speaksAt = new Map<string, number>();
  #seed: number;

  constructor(seed: number, count: number) {
    this.#seed = seed;
    for (let index = 0; index < count; index++) this.start(`w-${index}`);
  }

  /** Another process of that name, which knows nothing. */
  start(id: string): void {
    this.apart.delete(id);
    this.members.set(id, new Election({ id, limits, random: () => this.#random(), now: this.now }));
  }

  #random(): number {
    this.#seed = (Math.imul(this.#seed, 1_664_525) + 1_013_904_223) >>> 0;
    return this.#seed / 2 ** 32;
  }

  get serving(): string[] {
    return [...this.members].filter(([, election]) => election.servingTerm !== undefined).map(([id]) => id);
  }

  get heardServing(): string[] {
    return this.serving.filter((id) => !this.cut.has(id));
  }

  #hears(id: string, from: string): boolean {
    return !this.cut.has(id) && !this.cut.has(from) && this.beyond.has(id) === this.beyond.has(from);
  }

  run(ms: number): void {
    for (const end = this.now + ms; this.now < end; this.now += 5) {
      for (const [id, election] of this.members) {
        if (this.now >= election.nextTickAt) this.#act(id, election.tick(this.now));
        if (this.now % 250 === 0 && !this.cut.has(id) && !this.serving.some((from) => this.#hears(id, from)))
          this.#act(id, election.serviceAbsent(this.now));
      }
      if (this.now % 1_000 === 0) for (const id of this.heardServing) this.#publish(id);
    }
  }

  #publish(from: string): void {
    if (this.now < (this.#speaksAt.get(from) ?? 0)) return;
    const version = (this.members.get(from)?.servingTerm as number) * viewsPerTerm + 1;
    for (const [id, election] of this.members)
      if (this.#hears(id, from)) this.#act(id, election.viewHeard(version, this.#stamp(from), this.now));
  }

  #stamp(id: string): number {
    return this.now + 1_000_000 - (this.behind.get(id) ?? 0);
  }

  /** Whoever serves and hears the question says that it is there. */
  #answer(id: string, number: number): void {
    for (const from of this.serving) {
      const term = this.members.get(from)?.servingTerm;
      if (from === id || term === undefined || !this.#hears(id, from)) continue;
      const answer = { number, term, sent: this.#stamp(from) };
      this.#act(id, (this.members.get(id) as Election).present(answer, this.now));
    }
  }

  #act(id: string, actions: readonly ElectionAction[]): void {
    const election = this.members.get(id) as Election;
    for (const action of actions) {
      if (action.kind === 'echo') this.#answer(id, action.number);
      if (action.kind === 'echo' && !this.cut.has(id)) this.#act(id, election.echoed(action.number, this.now));
      if (action.kind === 'try') this.#act(id, election.leased(this.#ask(id, action.instead), this.now));
      if (action.kind === 'look') this.#act(id, election.leased(this.lease, this.now));
      if (action.kind === 'serve') this.serveCount += 1;
      if (action.kind === 'serve') this.#speaksAt.set(id, this.now + this.silentMs);
      if (action.kind === 'serve' && !this.cut.has(id) && this.silentMs === 0) this.#publish(id);
      if (action.kind === 'apart') this.apart.add(id);
      if (action.kind === 'together') this.apart.delete(id);
    }
  }

  /** What `Store.lease` promises. */
  #ask(id: string, instead: SeenLease | undefined): Lease {
    const call = { now: this.now, ms: limits.leaseMs };
    this.lease = leaseAfter(this.lease, id, instead === undefined ? call : { ...call, instead });
    return this.lease;
  }
}

const someFault = fc.record({
  kind: fc.constantFrom('cut', 'heal', 'crash', 'start anew', 'put back', 'stand still'),
  of: fc.nat(4),
  afterMs: fc.integer({ min: 0, max: 800 }).map((steps) => steps * 5),
});

test('EL1, EL2, EL3: through crashes, cuts and a store put back, in the end one serves whom all hear, and who is cut off does not keep the lease', () => {
  fc.assert(
    fc.property(fc.nat(), fc.boolean(), fc.array(someFault, { maxLength: 12 }), (seed, isSilent, faults) => {
      const cluster = new Cluster(seed, 5);
      if (isSilent) cluster.silentMs = limits.suspectMs;
      for (const { kind, of, afterMs } of faults) {
        cluster.run(afterMs);
        const id = `w-${of}`;
        if (kind === 'cut') cluster.cut.add(id);
        if (kind === 'heal') cluster.cut.delete(id);
        if (kind === 'crash' && cluster.members.size > 2) cluster.members.delete(id);
        if (kind === 'start anew' && cluster.members.has(id)) cluster.start(id);
        if (kind === 'stand still') cluster.behind.set(id, (cluster.behind.get(id) ?? 0) + afterMs);
        if (kind === 'put back') cluster.lease = { ...cluster.lease, term: Math.max(0, cluster.lease.term - 3) };
      }
      const connected = [...cluster.members.keys()].filter((id) => !cluster.cut.has(id));
      cluster.run(20_000);
      const expected = connected.length === 0 ? 0 : 1;
      assert.is(cluster.heardServing.length, expected, `${connected} are connected, ${cluster.heardServing} serve`);
      if (expected === 1) assert.equal(cluster.serving, cluster.heardServing, 'who was replaced has stopped');
      const alone = connected.filter((id) => cluster.apart.has(id));
      assert.equal(alone, [], 'who hears the service is not apart from it');
    }),
    { numRuns: 200 },
  );
});

test('EL2: after a crash of the holder the next one serves within an announcement, a pause and lapseMs', () => {
  for (let seed = 0; seed < 30; seed++) {
    const cluster = new Cluster(seed, 4);
    cluster.run(3_000);
    const [holder] = cluster.serving as [string];
    cluster.members.delete(holder);
    cluster.run(limits.announceMs + limits.pauseMs + limits.lapseMs + 10);
    assert.is(cluster.serving.length, 1, `seed ${seed}`);
  }
});

test('EL2: of those who leave nobody takes the service over while somebody stays', () => {
  for (let seed = 0; seed < 30; seed++) {
    const cluster = new Cluster(seed, 6);
    cluster.run(3_000);
    const [holder] = cluster.serving as [string];
    const staying = [...cluster.members.keys()].find((id) => id !== holder) as string;
    for (const [id, election] of cluster.members) if (id !== staying) election.leaving();
    cluster.members.get(holder)?.resign(cluster.now);
    cluster.lease = { ...cluster.lease, holder: '', until: 0 };
    cluster.members.delete(holder);
    cluster.run(limits.announceMs + limits.pauseMs + limits.lapseMs + 10);
    assert.equal([cluster.serving, cluster.serveCount], [[staying], 2], `seed ${seed}`);
    cluster.members.delete(staying);
    cluster.run(limits.announceMs + limits.graceMs + limits.pauseMs + limits.lapseMs + 10);
    assert.is(cluster.serving.length, 1, 'where all leave one of them serves');
  }
});

test('EL6: workers that all start anew over a lease that was left behind find no split', () => {
  for (let seed = 0; seed < 60; seed++) {
    const cluster = new Cluster(seed, 4);
    cluster.lease = { holder: 'gone', term: 7, until: seed % 2 === 0 ? 100_000 : 0 };
    cluster.silentMs = limits.suspectMs;
    for (let steps = 0; steps < 10_000; steps += 5) {
      cluster.run(5);
      assert.equal([...cluster.apart], [], `seed ${seed}, at ${cluster.now}`);
    }
    assert.equal([cluster.serving.length, cluster.serveCount], [1, 1]);
  }
});

test('EL4: of a network that is cut in two the side of the holder keeps the service, for as long as the cut lasts', () => {
  for (let seed = 0; seed < 30; seed++) {
    const cluster = new Cluster(seed, 5);
    cluster.run(3_000);
    const serving = cluster.serving;
    const others = [...cluster.members.keys()].filter((id) => !serving.includes(id));
    for (const id of others.slice(0, (seed % 4) + 1)) cluster.beyond.add(id);
    cluster.run(60_000);
    assert.equal([cluster.serving, cluster.serveCount, [...cluster.apart].sort()], [serving, 1, [...cluster.beyond]]);
    cluster.beyond.clear();
    cluster.run(2_000);
    assert.equal([cluster.serving, cluster.serveCount, cluster.apart.size], [serving, 1, 0], `seed ${seed}`);
  }
});

test('EL5: a service whose machine stood still for a while is heard again, and nobody is taken for cut off', () => {
  for (let seed = 0; seed < 30; seed++) {
    const cluster = new Cluster(seed, 4);
    cluster.run(3_000);
    const [holder] = cluster.serving as [string];
    cluster.behind.set(holder, 2_000 + 100 * seed);
    let apartCount = 0;
    for (let second = 0; second < 30; second++) {
      cluster.run(1_000);
      apartCount += cluster.apart.size;
    }
    assert.equal([cluster.serving, cluster.serveCount, apartCount], [[holder], 1, 0], `seed ${seed}`);
  }
});

test.run();
