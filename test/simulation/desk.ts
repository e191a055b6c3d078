/**
 * Desk: commands that are answered later, by a timer, by a message of anybody, or by another desk; or never.
 *
 * What a desk gives, it notes in the same turn, with a token that no other turn makes: so a caller that was told something else than
 * what the state says, or the answer of another call, is found (P1, P4, P5); and so is one that was told nothing (P7).
 */
import {
  answers,
  type Behaviour,
  behaviour,
  type CommandTurn,
  command,
  entity,
  type Later,
  type Turn,
  unchecked,
} from '../../core/index.ts';
import type { SimulatedClient, Stage, StoredEntity } from '../../runtime/testing/index.ts';
import type { Call, Calls } from './calls.ts';

/** How a call is answered: at once, by a timer, by whoever asks, by another desk, by both, or by its deadline alone. */
type How = 'now' | 'timer' | 'asked' | 'passed' | 'raced' | 'never';

interface Ask {
  readonly id: string;
  readonly how: How;
  readonly afterMs: number;
  readonly isRefused: boolean;
  /** The desk that it is passed to. */
  readonly other: string;
}

interface Told {
  readonly id: string;
  readonly token: string;
}

interface Given {
  readonly token: string;
  readonly at: number;
}

interface State {
  runs: Record<string, number>;
  open: Record<string, Later<Told>>;
  given: Record<string, Given>;
  heard: Record<string, string[]>;
}

export const Desk = entity('desk', {
  initial: (): State => ({ runs: {}, open: {}, given: {}, heard: {} }),
  operations: {
    ask: command(unchecked<Ask>(), unchecked<Told>()),
    answer: command(unchecked<{ id: string; isRefused: boolean }>()),
    /** The desk itself asks another one. */
    send: command(unchecked<Ask>()),
    take: command(unchecked<{ id: string; isRefused: boolean; later: Later<Told> }>()),
    /** Denied to nearly everybody (`maySeal`): the number of such a call comes to no turn. */
    seal: command(),
  },
});
type Contract = typeof Desk;
type DeskTurn = Turn<Contract>;

function give(turn: DeskTurn, later: Later<Told>, { id, isRefused }: { id: string; isRefused: boolean }): void {
  const token = `${turn.key} ${turn.random()}`;
  if (turn.now >= later.until) return;
  turn.state.given[id] = { token, at: turn.now };
  if (isRefused) turn.refuse(later, token);
  else turn.answer(later, { id, token });
}

function ask(turn: CommandTurn<Contract, Told>, asked: Ask): Told | Later<Told> {
  const { id, how, afterMs, other } = asked;
  turn.state.runs[id] = (turn.state.runs[id] ?? 0) + 1;
  if (how === 'now') return { id, token: '' };
  const later = turn.later();
  // Its asker has lost what it knew, and asks again: nothing else would answer what it asked at first.
  const { [id]: before } = turn.state.open;
  if (before !== undefined && before.until > turn.now) turn.refuse(before, 'asked again');
  if (how === 'passed' || how === 'raced') turn.to(Desk, other, { afterMs }).take({ ...asked, later });
  if (how === 'timer' || how === 'raced') turn.timer(id, { afterMs }).answer(asked);
  if (how !== 'passed') turn.state.open[id] = later;
  return later;
}

export const desk: Behaviour<Contract> = behaviour(
  Desk,
  {
    ask,
    answer(turn, asked) {
      const { [asked.id]: later } = turn.state.open;
      if (later === undefined) return;
      delete turn.state.open[asked.id];
      give(turn, later, asked);
    },
    send(turn, asked) {
      turn.to(Desk, asked.other).ask({ ...asked, id: `${turn.key}:${asked.id}`, other: turn.key });
    },
    take: (turn, { later, ...asked }) => give(turn, later, asked),
    seal: () => undefined,
  },
  {
    answers: [
      answers(Desk, Desk, {
        ask(turn, answer) {
          const text =
            answer.status === 'done'
              ? `${answer.output.id} ${answer.output.token}`
              : `${answer.status} ${answer.status === 'refused' ? answer.reason : answer.code}`;
          turn.state.heard[turn.from.key] = [...(turn.state.heard[turn.from.key] ?? []), text];
        },
      }),
    ],
  },
);

const keys = ['p', 'q', 'r', 's'];
const atHome: readonly How[] = ['now', 'timer', 'timer', 'asked', 'never'];
const everywhere: readonly How[] = [...atHome, 'passed', 'passed', 'raced'];
/** Long enough to be repeated when everything has healed. */
const patientMs = 45_000;
/** What was given so long before the deadline, reaches its caller. */
const arrivesMs = 20_000;
/** The same when nothing is faulty: well below the time after which a call is repeated. */
const promptMs = 40;

interface Asked {
  readonly address: string;
  readonly id: string;
  readonly call: Promise<Call>;
  readonly deadlineAt: number;
  readonly lossCount: number;
}

interface Checked extends Asked {
  readonly mayBeUnheard: boolean;
}

/** Whether another desk's answer to a call of this one did not arrive before its message expired: it is a dead letter (P7). */
function isAnswerDead({ dead }: StoredEntity, address: string): boolean {
  return [...dead.values()].some(({ partner, content }) => partner === address && content.kind === 'later-answer');
}

/** What was asked in one run, and what must have become of it. */
export class Desks {
  readonly #stage: Stage;
  readonly #calls: Calls;
  readonly #asked: Asked[] = [];
  readonly #open: { readonly key: string; readonly id: string }[] = [];

  readonly #isNew: boolean;
  readonly #hows: readonly How[];

  /** `isNew`: no worker is of a release that cannot carry another desk's answer, or what a call is behind. */
  constructor(stage: Stage, calls: Calls, isNew: boolean) {
    this.#stage = stage;
    this.#calls = calls;
    this.#isNew = isNew;
    this.#hows = isNew ? everywhere : atHome;
  }

  async use({ client, chance, name }: SimulatedClient, number: number): Promise<void> {
    const key = chance.pick(keys);
    const id = `${name}-${number}.`;
    if (chance.hits(0.2) && this.#open.length > 0) {
      const open = chance.pick(this.#open);
      const given = { id: open.id, isRefused: chance.hits(0.2) };
      await this.#calls.make(`desk/${open.key}`, id, () => client.entity(Desk, open.key).answer(given));
      return;
    }
    if (chance.hits(0.1)) {
      await this.#calls.make(`desk/${key} sealed`, id, () => client.entity(Desk, key).seal());
      return;
    }
    const asked: Ask = {
      id,
      how: chance.pick(this.#hows),
      afterMs: chance.between(0, 4_000),
      isRefused: chance.hits(0.2),
      other: chance.pick(keys.filter((one) => one !== key)),
    };
    if (chance.hits(0.25)) {
      // What nobody answers is open for the horizon, which must end within the run.
      const sent = this.#stage.limits.horizonMs > 60_000 ? { ...asked, how: 'timer' as const } : asked;
      await this.#calls.make(`desk/${key}`, id, () => client.entity(Desk, key).send(sent));
      return;
    }
    if (asked.how === 'asked') this.#open.push({ key, id });
    const deadlineMs = asked.how === 'never' || chance.hits(0.2) ? chance.between(500, 6_000) : patientMs;
    const options = chance.hits(0.4) ? { idempotencyKey: `desk ${id}`, keyLifeMs: 60_000 } : {};
    const copies = 'idempotencyKey' in options && chance.hits(0.4) ? 2 : 1;
    const make = () =>
      this.#make(`desk/${key}`, id, deadlineMs, () => client.entity(Desk, key).ask(asked, { ...options, deadlineMs }));
    // Nobody waits for them here: other calls of the same client go on meanwhile.
    for (let copy = 0; copy < copies; copy++) void make();
  }

  #make(address: string, id: string, deadlineMs: number, ask: () => Promise<unknown>): Promise<Call> {
    const { lossCount } = this.#stage;
    const call = this.#calls.make(`${address} later`, id, ask);
    this.#asked.push({ address, id, call, deadlineAt: this.#stage.now() + deadlineMs, lossCount: lossCount() });
    return call;
  }

  /** Nothing is faulty any more: what is answered is heard at once, wherever the desk was meanwhile (WT3). */
  async quiet(client: SimulatedClient): Promise<void> {
    await Promise.all(keys.map((key) => this.#quietAt(key, client)));
  }

  async #quietAt(key: string, { client, chance, sleep }: SimulatedClient): Promise<void> {
    const address = `desk/${key}`;
    const ref = client.entity(Desk, key);
    const asked: Ask = { id: `quiet ${key}.`, how: 'asked', afterMs: 0, isRefused: false, other: key };
    const waits = this.#make(address, asked.id, patientMs, () => ref.ask(asked, { deadlineMs: patientMs }));
    let isHeard = false;
    void waits.then(() => {
      isHeard = true;
    });
    if (this.#isNew) {
      const sealed = await this.#calls.make(`${address} sealed`, asked.id, () => ref.seal());
      if (sealed.error?.code === 'denied') this.#stage.covered('a call that is denied behind one that waits');
    }
    const behind: Ask = { ...asked, id: `quiet ${key} behind.`, how: 'now' };
    const told = await this.#calls.make(address, behind.id, () => ref.ask(behind, { deadlineMs: 5_000 }));
    if (told.outcome !== 'done')
      this.#stage.violate('P7', `${address} did not run what was asked behind a call that waits: ${told.error}`);
    await sleep(chance.between(0, 6_000));
    await this.#calls.make(address, `${asked.id} answer`, () => ref.answer(asked));
    await sleep(promptMs);
    if (!isHeard)
      this.#stage.violate('WT3', `${address} was answered ${promptMs} ms ago, and who waits has not heard it`);
    await waits;
  }

  async check(entities: readonly StoredEntity[]): Promise<void> {
    const desks = entities.filter(({ address }) => address.startsWith('desk/'));
    const states = new Map(desks.map(({ address, state }) => [address, state.value as State]));
    const given = new Map<string, Given[]>();
    for (const state of states.values())
      for (const [id, one] of Object.entries(state.given)) given.set(id, [...(given.get(id) ?? []), one]);
    if (this.#stage.lossCount() === 0) for (const [address, state] of states) this.#checkRuns(address, state, desks);
    for (const asked of this.#asked) {
      const mayBeUnheard = desks.some((one) => isAnswerDead(one, asked.address));
      this.#checkCall({ ...asked, mayBeUnheard }, await asked.call, given.get(asked.id) ?? []);
    }
  }

  #checkRuns(address: string, { runs }: State, desks: readonly StoredEntity[]): void {
    for (const [id, count] of Object.entries(runs))
      if (count > 1) this.#stage.violate('P4', `${address} ran the call ${id}, which waited, ${count} times`);
    const asked = Object.keys(runs).filter((id) => id.includes(':'));
    const byAsker = new Map<string, number>();
    for (const id of asked) byAsker.set(id.split(':')[0] ?? '', (byAsker.get(id.split(':')[0] ?? '') ?? 0) + 1);
    for (const [key, count] of byAsker) {
      const asker = desks.find((one) => one.address === `desk/${key}`);
      const heard = (asker?.state.value as State | undefined)?.heard[address.slice(5)]?.length ?? 0;
      const isDead = desks.some(({ dead }) => dead.size > 0);
      if (heard > count || (heard < count && !isDead))
        this.#stage.violate(
          heard > count ? 'P4' : 'P7',
          `desk/${key} asked ${address} ${count} times and heard ${heard} answers`,
        );
    }
  }

  #checkCall({ address, id, deadlineAt, lossCount, mayBeUnheard }: Checked, call: Call, given: readonly Given[]): void {
    const { outcome, output, error } = call;
    const isLossy = this.#stage.lossCount() > lossCount;
    const told = output as Told | undefined;
    const token = outcome === 'done' ? told?.token : error?.code === 'refused' ? error.message : undefined;
    const text = `call ${id} of ${address}`;
    if (told !== undefined && told.id !== id) this.#stage.violate('P5', `${text} was told the answer of ${told.id}`);
    if (token !== undefined && token !== '' && !isLossy && !given.some((one) => token.includes(one.token)))
      this.#stage.violate('P1', `${text} was told what no state says: ${token}`);
    const [one] = given;
    const isLate = one === undefined || one.at > deadlineAt - arrivesMs;
    if (error?.code === 'deadline' && !isLate && !isLossy && !mayBeUnheard && given.length === 1)
      this.#stage.violate(
        'P7',
        `${text} was answered ${Math.round(deadlineAt - one.at)} ms before its deadline, and never heard`,
      );
  }
}
