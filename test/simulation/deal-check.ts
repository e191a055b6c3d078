/**
 * What clients ask of deals in one run, and what must have become of it: one decision, which every party has heard, or of which the hub
 * knows that one has not and why (P13).
 */
import { isOfAgreement, placeIn } from '../../core/agreement-part.ts';
import type { Behaviour } from '../../core/index.ts';
import type { DeadLetter } from '../../core/record.ts';
import type { SimulatedClient, Stage, StoredEntity } from '../../runtime/testing/index.ts';
import type { Call, Calls } from './calls.ts';
import {
  type Contracts,
  contractsOf,
  type DealState,
  dealBehaviours,
  dealInvariant,
  dealTimesOf,
  type Hearing,
  type Kind,
  type Line,
  type Party,
  type Placing,
  type Plan,
  type Row,
  type Told,
} from './deal.ts';
import { endOf, type Manner, Ran } from './depot.ts';

const hubKeys = ['h1', 'h2', 'h3'];
const stockKeys = ['s1', 's2', 's3', 's4', 's5'];
const shelfKeys = ['f1', 'f2'];
const cartKeys = ['k1', 'k2'];
const kinds: readonly Kind[] = ['all', 'all', 'mixed', 'pick', 'pick', 'vote', 'vote', 'peer'];
const manners: readonly Manner[] = [
  ...Array<Manner>(14).fill('plain'),
  ...(['refuse', 'throw', 'flaky', 'flaky', 'stuck', 'large'] as const),
];
const hearings: readonly Hearing[] = [...Array<Hearing>(12).fill('plain'), 'flaky', 'flaky', 'stuck'];
/** Long enough to be repeated when everything has healed. */
const patientMs = 45_000;
/** What was decided so long before the deadline, reaches its caller. */
const arrivesMs = 20_000;

interface Placed {
  readonly address: string;
  readonly id: string;
  readonly planCount: number;
  readonly waits: boolean;
  readonly call: Promise<Call>;
  readonly deadlineAt: number;
}

interface Abandoned {
  readonly address: string;
  readonly call: Call;
}

export class Deals {
  readonly contracts: Contracts;
  readonly #stage: Stage;
  readonly #ran = new Ran();
  readonly #isEndless: boolean;
  readonly #placed: Placed[] = [];
  readonly #abandoned: Abandoned[] = [];

  constructor(stage: Stage, isLossy: boolean) {
    this.#stage = stage;
    const times = dealTimesOf(stage.seed, stage.limits, isLossy);
    this.contracts = contractsOf(times);
    this.#isEndless = times.lendMs === Number.POSITIVE_INFINITY;
  }

  get behaviours(): readonly Behaviour[] {
    return dealBehaviours(this.contracts, this.#ran);
  }

  /** Of a hub, at each commit. */
  invariant(entity: StoredEntity): void {
    dealInvariant(entity);
  }

  // ---- what clients do

  async use({ client, chance, name }: SimulatedClient, calls: Calls, number: number): Promise<void> {
    const key = chance.pick(hubKeys);
    const ref = client.entity(this.contracts.deal, key);
    const address = `deal/${key}`;
    const id = `${name}-${number}.`;
    const which = chance.next();
    if (which < 0.1) return calls.look(address, () => ref.look());
    if (which < 0.3 && this.#placed.length > 0) {
      const of = chance.pick(this.#placed.slice(-6));
      const given = { id: of.id, isBlunt: chance.hits(0.3) };
      const abandon = () => client.entity(this.contracts.deal, of.address.slice('deal/'.length)).abandon(given);
      const call = await calls.make(`${of.address} abandon`, id, abandon);
      this.#abandoned.push({ address: of.address, call });
      return;
    }
    if (which < 0.36) return this.#ask(calls, { address, id, ask: () => ref.open(this.#wrong({ id, key }, chance)) });
    const plans = Array.from({ length: chance.pick([1, 1, 1, 2, 3]) }, () => this.#plan(key, chance));
    const placing: Placing = { id, plans, waits: chance.hits(0.6) };
    const deadlineMs = chance.hits(0.2) ? chance.between(300, 3_000) : patientMs;
    const deadlineAt = this.#stage.now() + deadlineMs;
    // What goes by a key of its own is in no order with what does not.
    const isKeyed = placing.waits && chance.hits(0.3);
    const options = isKeyed ? { deadlineMs, idempotencyKey: `deal ${id}`, keyLifeMs: 60_000 } : { deadlineMs };
    const call = placing.waits
      ? calls.make(`${address} later`, id, () => ref.place(placing, options))
      : calls.make(address, id, () => ref.open(placing, options));
    this.#placed.push({ address, id, planCount: plans.length, waits: placing.waits, call, deadlineAt });
    // Nobody waits for a decision here: other calls of the same client go on meanwhile.
    if (!placing.waits && chance.hits(0.3)) await call;
  }

  /** What no hub opens: it must be declined, and nobody asked. */
  async #ask(calls: Calls, given: { address: string; id: string; ask: () => Promise<unknown> }): Promise<void> {
    const { address, id, ask } = given;
    const { outcome, error } = await calls.make(`${address} wrong`, id, ask);
    if (outcome === 'done' || (outcome === 'declined' && error?.code !== 'invalid-input'))
      this.#stage.violate('P13', `${address} ${outcome} the wrong agreement ${id}: ${error?.message}`);
    if (outcome === 'declined') this.#stage.covered('a wrong agreement that is declined');
  }

  #wrong({ id, key }: { id: string; key: string }, chance: SimulatedClient['chance']): Placing {
    const plain = { cash: 1, hearing: 'plain', resolveMs: 0, isJealous: false } as const;
    const line = { role: 'goods', type: 'stock', key: 's1', operation: 'reserve', units: 1, manner: 'plain' } as const;
    const plan = chance.pick<Plan>([
      { ...plain, kind: 'all', lines: [] },
      { ...plain, kind: 'all', lines: [line, line] },
      { ...plain, kind: 'pick', lines: [{ ...line, role: 'spare', operation: 'lend' }] },
      {
        ...plain,
        kind: 'peer',
        lines: [
          { ...line, role: 'payer' },
          { ...line, role: 'peers', type: 'deal', key },
        ],
      },
    ]);
    return { id, plans: [this.#plan(key, chance), plan], waits: false };
  }

  #plan(hub: string, chance: SimulatedClient['chance']): Plan {
    const kind = chance.pick(kinds);
    return {
      kind,
      lines: this.#lines(kind, hub, chance),
      cash: chance.between(1, 3),
      hearing: chance.pick(hearings),
      resolveMs: chance.pick([0, 0, 500, 3_000]),
      isJealous: chance.hits(0.3),
    };
  }

  #lines(kind: Kind, hub: string, chance: SimulatedClient['chance']): Line[] {
    const lines: Line[] = [];
    const add = (
      role: string,
      [type, operation]: readonly [string, string],
      keys: readonly string[],
      count: number,
    ) => {
      const left = [...keys];
      for (let number = 0; number < count; number++) {
        const [key = ''] = left.splice(Math.floor(chance.next() * left.length), 1);
        // Nothing would end what is held without end and cannot be confirmed.
        const isEndless = operation !== 'reserve' && this.#isEndless;
        const manner = isEndless ? chance.pick<Manner>(['plain', 'plain', 'refuse']) : chance.pick(manners);
        lines.push({ role, type, key, operation, units: chance.between(1, 4), manner });
      }
    };
    switch (kind) {
      case 'all':
        add('goods', ['stock', 'reserve'], stockKeys, chance.between(1, 3));
        break;
      case 'mixed':
        add('payer', ['stock', 'reserve'], stockKeys, 1);
        add('goods', ['shelf', 'reserve'], shelfKeys, chance.between(0, 2));
        add('extra', ['cart', 'reserve'], cartKeys, chance.between(0, 2));
        break;
      case 'pick':
        add('goods', ['stock', 'reserve'], stockKeys, chance.between(0, 2));
        add('spare', ['stock', 'lend'], stockKeys, chance.between(2, 4));
        break;
      case 'vote':
        add('voters', ['stock', 'lend'], stockKeys, chance.between(1, 4));
        break;
      case 'peer': {
        const others = hubKeys.filter((key) => key !== hub);
        add('payer', ['stock', 'lend'], stockKeys, 1);
        add('peers', ['deal', 'vouch'], others, chance.between(1, 2));
      }
    }
    return lines;
  }

  /** No turn throws any more. */
  async calm({ client, sleep }: SimulatedClient, calls: Calls): Promise<void> {
    for (const { address, key } of this.#stage.entities()) {
      if (!address.startsWith('deal/')) continue;
      const id = `calm ${key}.`;
      const options = { idempotencyKey: `${address} ${id}`, keyLifeMs: 60_000 };
      const calm = () => client.entity(this.contracts.deal, key).calm({ id }, options);
      while ((await calls.make(`${address} calm`, id, calm)).outcome !== 'done') await sleep(100);
    }
  }

  /** What may be done with a dead letter; undefined: it is no letter of an agreement. */
  letter({ side, content: { kind, hold, operation } }: DeadLetter): 'dead-retry' | 'dead-drop' | undefined {
    // The hub's own timer that resolves a breach: nobody else would.
    if (operation === 'resolve' && side === 'receiver') return 'dead-retry';
    if (!isOfAgreement(hold)) return undefined;
    // What an agreement asked or decided is not sent again. What its hub has not heard is told: nobody else would resolve a breach.
    return kind !== 'answer' || side === 'sender' ? 'dead-drop' : 'dead-retry';
  }

  // ---- what must have become of it

  /** Before their dead letters are dropped. */
  async check(entities: readonly StoredEntity[]): Promise<void> {
    const found = new Found(entities);
    for (const hub of found.hubs) for (const [tag, row] of rowsOf(hub)) this.#checkRow(hub, { tag, row }, found);
    for (const placed of this.#placed) this.#checkPlaced(placed, await placed.call, found);
    for (const abandoned of this.#abandoned) this.#checkAbandoned(abandoned, found);
  }

  /** When nothing is left to do. */
  checkEnded(entities: readonly StoredEntity[]): void {
    for (const { address, agreements, holds, state } of entities) {
      for (const { id, name, decision } of agreements.values())
        this.#stage.violate('P13', `${address} still has the agreement ${name} ${id}, decided ${decision}`);
      for (const { id, isLapsed } of holds.values())
        if (isOfAgreement(id) && !isLapsed) this.#stage.violate('P13', `${address} still holds ${id}`);
      if (!address.startsWith('deal/')) continue;
      for (const [tag, { decision }] of Object.entries((state.value as DealState).rows))
        if (decision === 'none') this.#stage.violate('P13', `${tag} was never decided`);
    }
  }

  #lost(address: string, { at }: Row): boolean {
    // The date is by the clock of the hub.
    return this.#stage.lostSince(address, at - 2 * this.#stage.limits.skewMaxMs);
  }

  #checkRow(hub: StoredEntity, { tag, row }: { readonly tag: string; readonly row: Row }, found: Found): void {
    if (this.#lost(hub.address, row)) return;
    const { decision, because, open, isSettled } = row;
    const isUntold = found.isUntold(hub, open.id);
    if (decision === 'none' && !isUntold) this.#stage.violate('P13', `${tag} was never decided`);
    if (decision === 'none') return this.#stage.covered('a decision that only a dead letter knows');
    this.#stage.covered(decision === 'confirm' ? 'agreement confirmed' : `agreement cancelled: ${because}`);
    this.#stage.covered(`agreement of ${row.kind}`);
    if (isSettled) this.#stage.covered('agreement settled');
    for (const party of row.parties) this.#checkParty(hub, { tag, row, party }, found);
  }

  #checkParty(hub: StoredEntity, one: { tag: string; row: Row; party: Party }, found: Found): void {
    const { row, party } = one;
    const { decision, winners, broken } = row;
    const address = `${party.type}/${party.key}`;
    const text = `${party.operation} of ${address} for ${one.tag}`;
    const end = endOf(found.byAddress, address, party.tag);
    const isWinner = winners.includes(party.tag);
    if (!isWinner && (end === 'confirmed' || this.#ran.confirms.has(party.tag)))
      this.#stage.violate('P13', `${text} was confirmed, and is decided ${decision} without it`);
    // What others forget in a crash, the hub hears of, or has heard before.
    if ((party.type !== 'stock' && party.type !== 'deal') || this.#lost(address, row)) return;
    if (!isWinner && row.accepted.includes(party.tag) && end !== 'cancelled')
      this.#stage.violate('P13', `${text} was accepted and not confirmed, and is ${end}`);
    if (!isWinner) return;
    const breach = broken.find(({ tag }) => tag === party.tag);
    if (breach === undefined && end === 'confirmed') return;
    if (breach === undefined && !found.isNewsDead(hub, address, party, row))
      this.#stage.violate('P13', `${text} was to be confirmed, is ${end}, and nobody was told`);
    if (breach === undefined) return this.#stage.covered('a breach that only a dead letter knows');
    this.#stage.covered(`agreement broken: ${breach.why}`);
    const isInDoubt = breach.why === 'undelivered' && found.isInDoubt(hub, row, party);
    if (end === 'confirmed' && !isInDoubt)
      this.#stage.violate('P13', `${text} was told as ${breach.why}, and is confirmed`);
  }

  #checkPlaced({ address, id, planCount, waits, deadlineAt }: Placed, call: Call, found: Found): void {
    const hub = found.byAddress.get(address);
    const rows = (hub === undefined ? [] : rowsOf(hub)).filter(([, row]) => row.id === id);
    const text = `call ${id} of ${address}`;
    const { outcome, output, error } = call;
    if (outcome === 'open') this.#stage.violate('P7', `${text} was never settled`);
    const isLossy = this.#stage.lossCount() > 0;
    if (rows.length > planCount) this.#stage.violate('P4', `${text} opened ${rows.length} agreements of ${planCount}`);
    if (isLossy) return;
    if (outcome === 'done' && rows.length !== planCount)
      this.#stage.violate('P4', `${text} is done and opened ${rows.length} agreements of ${planCount}`);
    if (!waits || rows.length === 0) return;
    const told = output as Told | undefined;
    const [, row] = rows[0] ?? [];
    if (told !== undefined && (rows[0]?.[0] !== told.tag || row?.decision !== told.decision))
      this.#stage.violate('P5', `${text} was told ${told.tag} ${told.decision}, decided is ${row?.decision}`);
    if (told !== undefined) this.#stage.covered('a caller who waits for a decision');
    const isEarly = row !== undefined && row.decision !== 'none' && row.decidedAt < deadlineAt - arrivesMs;
    if (error?.code === 'deadline' && isEarly)
      this.#stage.violate('P7', `${text} was decided ${deadlineAt - row.decidedAt} ms before its deadline, unheard`);
  }

  #checkAbandoned({ address, call }: Abandoned, { byAddress }: Found): void {
    const hub = byAddress.get(address);
    const { outcome, output, error } = call;
    if (outcome === 'declined' && error?.code === 'failed') this.#stage.covered('a cancel that comes too late');
    if (hub === undefined || outcome !== 'done' || this.#stage.lossCount() > 0) return;
    const { tags } = output as { tags: readonly string[] };
    for (const [tag, { decision }] of rowsOf(hub))
      if (tags.includes(tag) && decision === 'confirm')
        this.#stage.violate('P13', `${tag} was cancelled by its application, and is decided ${decision}`);
  }
}

function rowsOf({ state }: StoredEntity): [string, Row][] {
  return Object.entries((state.value as DealState).rows);
}

class Found {
  readonly byAddress: ReadonlyMap<string, StoredEntity>;

  constructor(entities: readonly StoredEntity[]) {
    this.byAddress = new Map(entities.map((one) => [one.address, one]));
  }

  get hubs(): StoredEntity[] {
    return [...this.byAddress.values()].filter(({ address }) => address.startsWith('deal/'));
  }

  /** Whether what the application has not heard of an agreement is a dead letter of its hub. */
  isUntold({ dead }: StoredEntity, agreement: string): boolean {
    return [...dead.values()].some(
      ({ content: { kind, hold } }) =>
        kind === 'answer' && isOfAgreement(hold) && placeIn(hold).agreement === agreement && placeIn(hold).index < 0,
    );
  }

  /** Whether the bad news of a party is a dead letter, of the hub or of the party. */
  isNewsDead(hub: StoredEntity, address: string, party: Party, row: Row): boolean {
    const letters = [...hub.dead.values(), ...(this.byAddress.get(address)?.dead.values() ?? [])];
    const index = row.parties.indexOf(party);
    return letters.some(
      ({ content: { kind, hold } }) =>
        kind === 'answer' &&
        isOfAgreement(hold) &&
        placeIn(hold).agreement === row.open.id &&
        (placeIn(hold).index === index || placeIn(hold).index < 0),
    );
  }

  /** Whether the hub could not find out what became of its word. */
  isInDoubt({ dead }: StoredEntity, row: Row, party: Party): boolean {
    const index = row.parties.indexOf(party);
    return [...dead.values()].some(
      ({ content: { kind, hold }, reason }) =>
        kind === 'confirm' &&
        isOfAgreement(hold) &&
        placeIn(hold).agreement === row.open.id &&
        placeIn(hold).index === index &&
        reason.includes('in doubt'),
    );
  }
}
