/** Our own scenario: every kind of entity, used by several clients, under limits drawn from the seed. */
import { type Behaviour, defaultLimits, isSkerryError, type Limits } from '../../core/index.ts';
import type { PlacementLimits } from '../../placement/limits.ts';
import {
  Chance,
  type FaultRates,
  type Scenario,
  type SimulatedClient,
  type SimulationReport,
  type Stage,
  type StoredEntity,
  simulate,
} from '../../runtime/testing/index.ts';
import { protocolsOf } from '../../runtime/testing/simulation.ts';
import { protocol } from '../../runtime/wire/codec.ts';
import { annex, useAnnex } from './annex.ts';
import { Calls } from './calls.ts';
import { Deals } from './deal-check.ts';
import { depotInvariants } from './depot.ts';
import { Desks, desk } from './desk.ts';
import { Exchange, exchange } from './exchange.ts';
import { appliedBy, Ledger, ledger, ledgerInvariant, surge, useBriefKey, useLedger } from './ledger.ts';
import { mailer, mailerInvariant, useMailer } from './mailer.ts';
import { account, accountInvariant, checkHolds, checkMoney, transfer, transferInvariant, useMoney } from './money.ts';
import { calmPulses, pulse, pulseInvariant, usePulse } from './pulse.ts';
import { checkRings, modeOf, Ring, ring, ringInvariant, ringKeys, useRing } from './ring.ts';
import { checkHistory, maySeal, sealer, sheet, sheetInvariant, useSheet } from './sheet.ts';

const faultMs = 15_000;
/** Two or three envelopes. */
const smallFrameBytes = 12_000;
const ledgers = ['a', 'b', 'c'];
const accounts = ['x', 'y', 'z'];
const mailers = ['m', 'n'];
const logged = new Set(['ledger', 'ring', 'account', 'mailer', 'transfer', 'annex', 'teller', 'sheet', 'pulse']);

/** Small, so that every path is taken within one seed: closing, forgetting, expiring, probing, passivating, overflowing. */
export function limitsOf(seed: number): Limits {
  const chance = new Chance(seed, 'limits');
  const skewMaxMs = chance.pick([20, 100, 400]);
  const transitMaxMs = chance.pick([1_000, 3_000, 8_000]);
  return {
    ...defaultLimits,
    skewMaxMs,
    transitMaxMs,
    horizonMs: chance.pick([4_000, 15_000, 60_000]),
    doubtMs: chance.pick([1_000, 5_000]),
    deadlineMs: chance.pick([5_000, 20_000]),
    closeIdleMs: chance.pick([200, 1_000, 3_000]),
    trimIdleMs: chance.pick([20, 200]),
    retryMs: chance.pick([60, 200]),
    retryMsMax: chance.pick([500, 2_000]),
    idleMs: chance.pick([100, 1_000, 10_000]),
    activationCountMax: chance.pick([3, 12, 1_000]),
    activityCountMax: chance.pick([2, 5, 64]),
    windowCountMax: chance.pick([1, 4, 64]),
    aheadCountMax: chance.pick([2, 16, 256]),
    mailboxCountMax: chance.pick([8, 30, 60]),
    workerQueueCountMax: chance.pick([80, 100_000, 100_000]),
    groupCountMax: chance.pick([1, 4, 1_000]),
    attemptsMax: chance.pick([2, 4]),
    // It ends workers in the middle of turns that are not to blame.
    fatalEndsMax: 1_000,
    cautionMs: chance.pick([500, 5_000, 60_000]),
    messageBytesMax: chance.pick([4_000, 900_000]),
    wordMs: chance.pick([50, 500, 2_000]),
    agreementBytesMax: chance.pick([4_000, 1_048_576]),
  };
}

/** Quick, so that within one seed the dead are missed and services are replaced; and drawn, so that no order of them is taken for granted. */
function placementLimitsOf(seed: number): Partial<PlacementLimits> {
  const chance = new Chance(seed, 'placement limits');
  const announceMs = chance.pick([200, 400]);
  return {
    announceMs,
    suspectMs: 4 * announceMs,
    deadMs: announceMs * chance.pick([6, 10]),
    pingMs: announceMs,
    republishMs: chance.pick([1_000, 2_500]),
    checkMs: announceMs,
    leaseMs: chance.pick([2_000, 5_000]),
    silentMs: chance.pick([3_000, 6_000]),
    readPinsMs: chance.pick([1_000, 5_000]),
  };
}

interface Crowd {
  readonly stage: Stage;
  readonly calls: Calls;
  readonly exchange: Exchange;
  readonly desks: Desks;
  readonly deals: Deals;
  readonly rings: readonly string[];
}

function act(crowd: Crowd, client: SimulatedClient, number: number): Promise<void> {
  const { stage, calls, exchange, desks, deals, rings } = crowd;
  const { chance } = client;
  if (chance.hits(0.1)) return deals.use(client, calls, number);
  const which = chance.next();
  if (which < 0.02) return surge(stage, client, calls, number);
  if (which < 0.03) return useBriefKey(stage, client, calls, number);
  if (which < 0.28) return useLedger(client, calls, chance.pick(ledgers), number);
  if (which < 0.56) return useRing(client, calls, rings, number);
  if (which < 0.71) return useMoney(client, calls, accounts, number);
  if (which < 0.75) return useAnnex(client, calls, number);
  if (which < 0.82) return useMailer(client, calls, mailers, number);
  if (which < 0.91) return useSheet(stage, client, calls, number);
  if (which >= 0.97) return usePulse(stage, client, calls, number);
  if (which < 0.94) return exchange.use(client, number);
  return desks.use(client, number);
}

async function drive(stage: Stage, client: SimulatedClient, act: (number: number) => Promise<void>): Promise<void> {
  const pause = stage.chance('pace').pick([60, 300]);
  const under: Promise<void>[] = [];
  const until = stage.now() + faultMs * 0.9;
  for (let number = 1; stage.now() < until && number <= 60; number++) {
    const done = act(number);
    under.push(done);
    if (client.chance.hits(0.3)) await done;
    await client.sleep(client.chance.between(0, pause));
  }
  await Promise.all(under);
}

/** Dead letters are listed, then retried or dropped one by one, until there are none. */
async function clearDead(
  stage: Stage,
  client: SimulatedClient,
  { calls, deals }: Pick<Crowd, 'calls' | 'deals'>,
): Promise<void> {
  for (const { address, key, dead } of stage.entities()) {
    if (dead.size === 0) continue;
    const id = `calm ${key}.`;
    // The burst may have filled the mailbox: the same call again until it is done.
    const options = { idempotencyKey: `${address} ${id}`, keyLifeMs: 60_000 };
    const calm = () => client.client.entity(Ledger, key).calm({ id }, options);
    const defuse = () => client.client.entity(Ring, key).defuse({ id }, options);
    if (address.startsWith('ledger/'))
      while ((await calls.make(address, id, calm)).outcome !== 'done') await client.sleep(100);
    if (address.startsWith('ring/'))
      while ((await calls.make(address, id, defuse)).outcome !== 'done') await client.sleep(100);
    for (const letter of dead.values()) {
      // What a sender gave up on was numbered long ago: sent now it would be out of order. An answer of a desk that came second
      // throws again at each retry.
      const isRetried =
        letter.side === 'receiver' &&
        letter.content.kind !== 'later-answer' &&
        !address.startsWith('mailer/') &&
        !address.startsWith('desk/') &&
        modeOf(letter) !== 'throw';
      const isWanted = client.chance.hits(0.6);
      const kind = deals.letter(letter) ?? (isRetried && isWanted ? 'dead-retry' : 'dead-drop');
      await untilTaken(client, () => client.client.resolveDead(address, letter, kind)).catch((error: unknown) => {
        if (!isSkerryError(error)) throw error;
        stage.violate('P7', `${kind} of ${letter.id} at ${address}: ${error.code} ${error.message}`);
      });
    }
  }
}

/**
 * A full mailbox is an honest answer, and nothing was done; so is a read that was lost before everything healed, of which
 * who waits hears late. Once more, after a pause.
 */
async function untilTaken(client: SimulatedClient, call: () => Promise<void>): Promise<void> {
  for (let isAgain = false; ; isAgain = true) {
    const isDone = await call().then(
      () => true,
      (error: unknown) => {
        // Sent more than once, its effect is called unknown: the letter may be gone.
        if (isSkerryError(error, 'store-failed')) return false;
        if (isAgain && isSkerryError(error, 'not-found')) return true;
        if (isSkerryError(error, 'overloaded') && error.effect === 'none') return false;
        throw error;
      },
    );
    if (isDone) return;
    await client.sleep(100);
  }
}

/** More calls at once than a mailbox holds: the rest must hear it at once (P12). In small frames they do not come at once. */
async function burst(stage: Stage, client: SimulatedClient, calls: Calls): Promise<void> {
  const count = stage.limits.mailboxCountMax + 20;
  const before = calls.overloadedCount;
  const add = (index: number) => {
    const id = `burst-${index}.`;
    return calls.make('ledger/b', id, () => client.client.entity(Ledger, 'b').add({ id, amount: 1, list: [1, 2] }));
  };
  await Promise.all(Array.from({ length: count }, (_, index) => add(index)));
  if (calls.overloadedCount === before && stage.frameBytesMax > smallFrameBytes)
    stage.violate('P12', `${count} calls at once all went into a mailbox of ${stage.limits.mailboxCountMax}`);
}

function scenario(seed: number): Scenario {
  let calls: Calls;
  let talk: Exchange;
  let desks: Desks;
  let deals: Deals;
  let common: readonly Behaviour[];
  let late: SimulatedClient;
  let isClearing = false;
  return {
    behaviours: (stage) => {
      deals = new Deals(stage, false);
      common = [ledger, ring, account, transfer, desk, mailer(stage), pulse, ...exchange(), ...deals.behaviours];
      return [...common, sheet(1)];
    },
    upgraded: () => [...common, sheet(2)],
    authorise: ({ identity, operation }) => maySeal(identity, operation),
    later: () => [annex],
    invariants: {
      ledger: ledgerInvariant,
      ring: ringInvariant,
      account: accountInvariant,
      transfer: transferInvariant,
      mailer: mailerInvariant(() => isClearing),
      sheet: sheetInvariant,
      pulse: pulseInvariant,
      deal: (entity) => deals.invariant(entity),
      ...depotInvariants,
    },
    workload: async (stage) => {
      calls = new Calls(stage);
      talk = new Exchange(stage, calls);
      desks = new Desks(
        stage,
        calls,
        protocolsOf(seed).every(({ to }) => to === protocol.to),
      );
      const clients = await Promise.all(
        [sealer, '', ''].map((identity, index) => stage.connect(`c${index + 1}`, identity, 'client')),
      );
      const crowd = {
        stage,
        calls,
        exchange: talk,
        desks,
        deals,
        rings: ringKeys(stage.chance('rings').pick([3, 6, 10])),
      };
      await Promise.all(clients.map((client) => drive(stage, client, (number) => act(crowd, client, number))));
    },
    afterwards: async (stage) => {
      checkFinal(stage, calls);
      late = await stage.connect('late');
      await talk.again(late);
      // Before their dead letters are dropped.
      talk.check(stage.entities());
      await desks.quiet(late);
      await desks.check(stage.entities());
      await deals.check(stage.entities());
      await burst(stage, late, calls);
      isClearing = true;
      await calmPulses(stage, late, calls);
      await deals.calm(late, calls);
      await clearDead(stage, late, { calls, deals });
      for (const key of ledgers) await calls.look(`ledger/${key}`, () => late.client.entity(Ledger, key).look());
    },
    finally: (stage) => {
      calls.checkOrder();
      for (const one of stage.entities()) {
        if (logged.has(typeOf(one))) calls.check(one.address, appliedBy(one));
        if (typeOf(one) === 'sheet') checkHistory(stage, one);
        if (one.dead.size > 0) stage.violate('P7', `${one.address} still has dead letters`);
      }
      deals.checkEnded(stage.entities());
    },
  };
}

/**
 * Of what is lost with a store that went back each ledger loses its own; and tellers and books, one of which may have lost
 * what the other remembers, go on writing to each other (P7, P8).
 */
function lossyScenario(): Scenario {
  let calls: Calls;
  let talk: Exchange;
  let desks: Desks;
  let deals: Deals;
  return {
    behaviours: (stage) => {
      deals = new Deals(stage, true);
      return [ledger, desk, ...exchange(), ...deals.behaviours];
    },
    invariants: {
      ledger: ledgerInvariant,
      deal: (entity) => deals.invariant(entity),
      ...depotInvariants,
    },
    workload: async (stage) => {
      calls = new Calls(stage);
      talk = new Exchange(stage, calls);
      desks = new Desks(stage, calls, true);
      const clients = await Promise.all(
        [sealer, '', ''].map((identity, index) => stage.connect(`c${index + 1}`, identity, 'client')),
      );
      const use = (client: SimulatedClient, number: number) => {
        const which = client.chance.next();
        if (which < 0.4) return talk.use(client, number);
        if (which < 0.5) return desks.use(client, number);
        if (which < 0.7) return deals.use(client, calls, number);
        return useLedger(client, calls, client.chance.pick(ledgers), number);
      };
      await Promise.all(clients.map((client) => drive(stage, client, (number) => use(client, number))));
    },
    afterwards: async (stage) => {
      const late = await stage.connect('late');
      for (const key of ledgers) await calls.look(`ledger/${key}`, () => late.client.entity(Ledger, key).look());
      await talk.again(late);
      await desks.quiet(late);
      await desks.check(stage.entities());
      await deals.check(stage.entities());
    },
    finally: (stage) => {
      const entities = stage.entities();
      for (const one of entities) if (logged.has(typeOf(one))) calls.check(one.address, appliedBy(one));
      talk.check(entities);
    },
  };
}

function typeOf({ address }: StoredEntity): string {
  return address.split('/')[0] ?? '';
}

/** Before dead letters are touched: what they stand for is missing elsewhere. */
function checkFinal(stage: Stage, calls: Calls): void {
  const entities = stage.entities();
  const of = (type: string) => entities.filter(({ address }) => address.startsWith(`${type}/`));
  checkRings(stage, of('ring'));
  checkMoney(stage, of('account'), of('transfer'));
  checkHolds(stage, of('account'), calls);
}

/** Run one seed of it; its faults are drawn from the seed too, unless they are given. */
export function runSeed(
  seed: number,
  trace?: (line: string) => void,
  faults?: Partial<FaultRates>,
): Promise<SimulationReport> {
  const limits = limitsOf(seed);
  const forgetMs = limits.horizonMs + limits.doubtMs + limits.skewMaxMs + limits.transitMaxMs + 130_000;
  const shape = new Chance(seed, 'shape');
  // In one of eight the store goes back, and less can be checked.
  const isLossy = seed % 8 === 0;
  // Mostly while streams are open: one that is opened afterwards has a number that nobody has heard of.
  const streams = isLossy && shape.hits(0.7) ? { closeIdleMs: 60_000, horizonMs: 600_000 } : {};
  const options = {
    seed,
    scenario: isLossy ? lossyScenario() : scenario(seed),
    ...(isLossy ? { faults: { rollback: 0.15 } } : {}),
    workers: shape.pick([1, 2, 3, 3, 4]),
    partitions: shape.pick([8, 8, 16]),
    ...(limits.messageBytesMax < 10_000 ? { frameBytesMax: shape.pick([smallFrameBytes, 1_048_576]) } : {}),
    limits: { ...limits, ...streams },
    placementLimits: placementLimitsOf(seed),
    faultMs,
    settleMs: 200_000,
    // Half of all events would be those of clusters at rest.
    ...(shape.hits(0.35) && !('closeIdleMs' in streams) ? { forgetMs } : {}),
  };
  return simulate({
    ...options,
    ...(trace === undefined ? {} : { trace }),
    ...(faults === undefined ? {} : { faults }),
  });
}
