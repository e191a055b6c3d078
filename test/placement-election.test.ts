/** The election: transcripts of one candidate, and a cluster of them with one lease. */
import fc from 'fast-check';
import { Election, type ElectionAction } from '../placement/election.ts';
import { defaultPlacementLimits } from '../placement/limits.ts';
import { viewsPerTerm } from '../placement/service.ts';
import { assert, suite } from './support/suite.ts';

const test = suite('election');
const limits = defaultPlacementLimits;

function textOf(action: ElectionAction): string {
  if (action.kind === 'serve') return `serve ${action.term}`;
  return action.kind === 'try' && action.instead !== undefined ? `try instead ${action.instead}` : action.kind;
}

/** What one candidate, 'me', does about what it hears; it pauses for half of pauseMs. */
class Candidate {
  readonly election = new Election({ id: 'me', limits, random: () => 0.5, now: 0 });
  readonly lines: string[] = [];
  now = 0;

  until(end: number): void {
    while (this.election.nextTickAt <= end) {
      this.now = Math.max(this.now, this.election.nextTickAt);
      this.act(this.election.tick(this.now));
    }
    this.now = Math.max(this.now, end);
  }

  act(actions: readonly ElectionAction[]): void {
    for (const action of actions) this.lines.push(`${String(Math.round(this.now)).padStart(6)}   ${textOf(action)}`);
  }

  perform(line: string): void {
    const [, at, verb, ...rest] = line.trim().split(/\s+/) as [string, string, string, ...string[]];
    if (verb === 'sleep') this.now = Number(at);
    else this.until(Number(at));
    this.lines.push(line.trim());
    this.act(this.#heard(verb, rest));
  }

  #heard(verb: string, [first, second]: string[]): ElectionAction[] {
    const { election, now } = this;
    switch (verb) {
      case 'absent':
        return election.serviceAbsent(now);
      case 'view':
        return election.viewHeard(Number(first) * viewsPerTerm + 1, now);
      case 'echoed':
        return election.echoed(now);
      case 'leased':
        return election.leased({ holder: first as string, term: Number(second) }, now);
      case 'failed':
        return election.failed(now);
      case 'resign':
        return election.resign(now);
      case 'sleep':
        return election.tick(now);
      case 'end':
        return [];
      default:
        throw new Error(`'${verb}' is no event of an election`);
    }
  }
}

function holds(transcript: string): void {
  const lines = transcript.split('\n').filter((line) => line.trim() !== '');
  const candidate = new Candidate();
  for (const line of lines) if (/^\s*at /.test(line)) candidate.perform(line);
  const wanted = lines.map((line) => (/^\s*at /.test(line) ? line.trim() : line.replace(/^ {4}/, '')));
  assert.is(candidate.lines.join('\n'), wanted.join('\n'));
}

test('EL2: the first worker of a cluster finds nobody, tries, and serves; it renews three times in a lease', () => {
  holds(`
    at 0 absent
        25   try
    at 30 leased me 1
        30   serve 1
      1697   try
    at 1700 leased me 1
      3367   try
    at 3370 leased me 1
    at 3400 end`);
});

test('EL2: a service that is found absent is replaced by its term', () => {
  holds(`
    at 0 view 4
    at 900 view 4
    at 1000 absent
      1025   try instead 4
    at 1030 leased me 5
      1030   serve 5
    at 1040 end`);
});

test('EL2: a service that is silent is replaced once the connection has proved to be sound', () => {
  holds(`
    at 500 view 4
      3500   echo
    at 3501 echoed
      3526   try instead 4
    at 3530 leased me 5
      3530   serve 5
    at 3540 end`);
});

test('EL2: a service of an earlier term is no sign that the present one lives', () => {
  holds(`
    at 500 view 5
    at 3000 view 4
      3500   echo
    at 3600 end`);
});

test('EL3: who does not even hear itself does not try, however long', () => {
  holds(`
    at 500 view 4
      3500   echo
      4000   echo
      4500   echo
    at 4600 view 4
    at 7000 end`);
});

test('EL2: a view that comes while it pauses keeps it from trying', () => {
  holds(`
    at 500 view 4
      3500   echo
    at 3501 echoed
    at 3510 view 4
    at 6000 end`);
});

test('EL4: another one was faster: it is given graceMs to be heard, and is then replaced by its own term', () => {
  holds(`
    at 0 view 4
    at 1000 absent
      1025   try instead 4
    at 1030 leased other 5
    at 1100 absent
    at 1529 absent
    at 1530 absent
      1555   try instead 5
    at 1600 end`);
});

test('EL1: who hears of a later term stops, and a late answer of the store does not revive it', () => {
  holds(`
    at 0 absent
        25   try
    at 30 leased me 1
        30   serve 1
      1697   try
    at 1700 view 2
      1700   stop
    at 1710 leased me 1
    at 2000 view 1
    at 3000 end`);
});

test('EL1: views of its own term and of earlier ones do not stop it', () => {
  holds(`
    at 0 view 4
    at 1000 absent
      1025   try instead 4
    at 1030 leased me 5
      1030   serve 5
    at 1100 view 5
    at 1200 view 4
    at 1300 end`);
});

test('EL1: who is told that another has the lease stops', () => {
  holds(`
    at 0 absent
        25   try
    at 30 leased me 1
        30   serve 1
      1697   try
    at 1700 leased other 2
      1700   stop
    at 1800 end`);
});

test('EL1: who had lost the lease and got it again serves under the new term', () => {
  holds(`
    at 0 absent
        25   try
    at 30 leased me 1
        30   serve 1
      1697   try
    at 1700 leased me 3
      1700   serve 3
    at 1800 end`);
});

test('EL1: a later term that was heard while the store answered wins', () => {
  holds(`
    at 0 view 4
    at 1000 absent
      1025   try instead 4
    at 1026 view 6
    at 1030 leased me 5
    at 1100 end`);
});

test('EL1: a store that cannot be asked ends no service, and is asked again', () => {
  holds(`
    at 0 absent
        25   try
    at 30 leased me 1
        30   serve 1
      1697   try
    at 1700 failed
      2200   try
    at 2210 leased me 1
    at 2300 end`);
});

test('EL2: a store that cannot be asked is asked again, unless the service is heard', () => {
  holds(`
    at 0 absent
        25   try
    at 30 failed
       530   try
    at 540 failed
    at 600 view 1
    at 3000 end`);
});

test('EL2: a store that does not answer is asked again after the life of a lease', () => {
  holds(`
    at 0 absent
        25   try
      5025   try
    at 6000 end`);
});

test('EL1, P8: of a store that was put back the lease is lower than what views said; it serves above all that was known', () => {
  holds(`
    at 0 view 57
    at 1000 absent
      1025   try instead 57
    at 1030 leased other 55
    at 1540 absent
      1565   try instead 55
    at 1570 leased me 56
      1570   serve 58
      3237   try
    at 3240 leased me 56
    at 3300 view 57
    at 3400 end`);
});

test('EL1: who leaves stops, and never tries again', () => {
  holds(`
    at 0 absent
        25   try
    at 30 leased me 1
        30   serve 1
    at 100 resign
       100   stop
    at 200 absent
    at 300 leased me 1
    at 400 view 2
    at 60000 end`);
});

test('SC1, EL2: a worker that was paused hears what came meanwhile before it thinks of a silent service', () => {
  holds(`
    at 500 view 4
    at 1000 view 4
    at 60000 sleep
     60000   echo
    at 60001 view 4
    at 62000 end`);
});

/** Candidates over one lease, whose service is heard by all who are not cut off. */
class Cluster {
  readonly members = new Map<string, Election>();
  readonly cut = new Set<string>();
  lease = { holder: '', term: 0, until: 0 };
  now = 0;
  #seed: number;

  constructor(seed: number, count: number) {
    this.#seed = seed;
    const random = () => {
      this.#seed = (Math.imul(this.#seed, 1_664_525) + 1_013_904_223) >>> 0;
      return this.#seed / 2 ** 32;
    };
    for (let index = 0; index < count; index++) {
      const id = `w-${index}`;
      this.members.set(id, new Election({ id, limits, random, now: 0 }));
    }
  }

  get serving(): string[] {
    return [...this.members].filter(([, election]) => election.servingTerm !== undefined).map(([id]) => id);
  }

  get heardServing(): string[] {
    return this.serving.filter((id) => !this.cut.has(id));
  }

  run(ms: number): void {
    for (const end = this.now + ms; this.now < end; this.now += 5) {
      for (const [id, election] of this.members) {
        if (this.now >= election.nextTickAt) this.#act(id, election.tick(this.now));
        if (this.now % 250 === 0 && !this.cut.has(id) && this.heardServing.length === 0)
          this.#act(id, election.serviceAbsent(this.now));
      }
      if (this.now % 1_000 === 0) for (const id of this.heardServing) this.#publish(id);
    }
  }

  #publish(from: string): void {
    const version = (this.members.get(from)?.servingTerm as number) * viewsPerTerm + 1;
    for (const [id, election] of this.members)
      if (!this.cut.has(id)) this.#act(id, election.viewHeard(version, this.now));
  }

  #act(id: string, actions: readonly ElectionAction[]): void {
    const election = this.members.get(id) as Election;
    for (const action of actions) {
      if (action.kind === 'echo' && !this.cut.has(id)) this.#act(id, election.echoed(this.now));
      if (action.kind === 'try') this.#act(id, election.leased(this.#ask(id, action.instead), this.now));
      if (action.kind === 'serve' && !this.cut.has(id)) this.#publish(id);
    }
  }

  /** What `Store.lease` promises. */
  #ask(id: string, instead: number | undefined): { holder: string; term: number } {
    const { holder, term, until } = this.lease;
    if (holder === id && this.now < until) this.lease = { holder, term, until: this.now + limits.leaseMs };
    else if (this.now >= until || term === instead)
      this.lease = { holder: id, term: term + 1, until: this.now + limits.leaseMs };
    return this.lease;
  }
}

const someFault = fc.record({
  kind: fc.constantFrom('cut', 'heal', 'crash', 'put back'),
  of: fc.nat(4),
  afterMs: fc.integer({ min: 0, max: 800 }).map((steps) => steps * 5),
});

test('EL1, EL2, EL3: through crashes, cuts and a store put back, in the end one serves whom all hear, and who is cut off does not keep the lease', () => {
  fc.assert(
    fc.property(fc.nat(), fc.array(someFault, { maxLength: 12 }), (seed, faults) => {
      const cluster = new Cluster(seed, 5);
      for (const { kind, of, afterMs } of faults) {
        cluster.run(afterMs);
        const id = `w-${of}`;
        if (kind === 'cut') cluster.cut.add(id);
        if (kind === 'heal') cluster.cut.delete(id);
        if (kind === 'crash' && cluster.members.size > 2) cluster.members.delete(id);
        if (kind === 'put back') cluster.lease = { ...cluster.lease, term: Math.max(0, cluster.lease.term - 3) };
      }
      const connected = [...cluster.members.keys()].filter((id) => !cluster.cut.has(id));
      cluster.run(20_000);
      const expected = connected.length === 0 ? 0 : 1;
      assert.is(cluster.heardServing.length, expected, `${connected} are connected, ${cluster.heardServing} serve`);
      if (expected === 1) assert.equal(cluster.serving, cluster.heardServing, 'who was replaced has stopped');
    }),
    { numRuns: 200 },
  );
});

test('EL2: after a crash of the holder the next one serves within an announcement and a pause', () => {
  for (let seed = 0; seed < 30; seed++) {
    const cluster = new Cluster(seed, 4);
    cluster.run(3_000);
    const [holder] = cluster.serving as [string];
    cluster.members.delete(holder);
    cluster.run(limits.announceMs + limits.pauseMs + 10);
    assert.is(cluster.serving.length, 1, `seed ${seed}`);
  }
});

test.run();
