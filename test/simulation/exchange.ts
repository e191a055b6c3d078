/**
 * Exchange: tellers of every durability that go on writing to books, also over a time in which the store went back.
 *
 * What a teller says after the last loss comes exactly once, and so does the answer to it (P4, P7, P8); what types that are
 * not written with each turn promise is counted where it arrives.
 */
import {
  answers,
  type Behaviour,
  behaviour,
  command,
  entity,
  query,
  type Turn,
  unchecked,
  type View,
} from '../../core/index.ts';
import { decode, type SimulatedClient, type Stage, type StoredEntity } from '../../runtime/testing/index.ts';
import type { Call, Calls } from './calls.ts';

interface Said {
  readonly id: string;
  readonly to: string;
  readonly afterMs: number | undefined;
}

export const Book = entity('book', {
  initial: () => ({ notes: {} as Record<string, number> }),
  operations: { note: command(unchecked<{ token: string }>(), unchecked<{ token: string }>()) },
});

const operations = {
  tell: command(unchecked<Said>(), unchecked<{ life: string }>()),
  look: query(unchecked<{ life: string }>()),
};
const initial = () => ({ turns: 0, log: [] as string[], answered: {} as Record<string, number> });

export const Teller = entity('teller', { initial, operations });
/** Written every now and then. */
export const Gauge = entity('gauge', { initial, operations });
/** Never written. */
export const Cursor = entity('cursor', { initial, operations });

type Kind = typeof Teller;
const kinds = [Teller, Gauge, Cursor] as unknown as readonly Kind[];
const durabilities = ['turn', { intervalMs: 300 }, 'none'] as const;

function tellerOf(contract: Kind, durability: (typeof durabilities)[number], newLife: () => string): Behaviour<Kind> {
  return behaviour(
    contract,
    class {
      /** Of this stay in memory: what is not written begins anew with the next one. */
      readonly life = newLife();

      tell(turn: Turn<Kind>, { id, to, afterMs }: Said): { life: string } {
        turn.state.turns += 1;
        turn.state.log.push(id);
        // What a crash takes back and is asked again says something else.
        const token = contract === Teller ? `${turn.key} ${id}` : `${turn.key} ${id} ${turn.random()}`;
        turn.to(Book, to, afterMs === undefined ? undefined : { afterMs }).note({ token });
        return { life: this.life };
      }

      look(_view: View<Kind>): { life: string } {
        return { life: this.life };
      }
    },
    {
      durability,
      answers: [
        answers(contract, Book, {
          note(turn, answer) {
            const token = answer.status === 'done' ? answer.output.token : answer.status;
            turn.state.answered[token] = (turn.state.answered[token] ?? 0) + 1;
          },
        }),
      ],
    },
  );
}

export function exchange(): readonly Behaviour[] {
  let lives = 0;
  const newLife = () => `life ${++lives}`;
  const book = behaviour(Book, {
    note(turn, { token }) {
      turn.state.notes[token] = (turn.state.notes[token] ?? 0) + 1;
      return { token };
    },
  });
  return [book, ...kinds.map((kind, index) => tellerOf(kind, durabilities[index] ?? 'turn', newLife))] as Behaviour[];
}

const tellerKeys = ['p', 'q', 'r'];
const bookKeys = ['x', 'y'];

interface Told {
  readonly address: string;
  readonly call: Call;
  readonly lossCount: number;
  readonly key: string;
}

/** What was said in one run, and what must have become of it. */
export class Exchange {
  readonly #stage: Stage;
  readonly #calls: Calls;
  readonly #told: Told[] = [];

  constructor(stage: Stage, calls: Calls) {
    this.#stage = stage;
    this.#calls = calls;
  }

  async use({ client, chance, name }: SimulatedClient, number: number): Promise<void> {
    const contract = chance.hits(0.7) ? Teller : chance.pick(kinds);
    const afterMs = chance.hits(0.2) ? chance.between(0, 2_000) : undefined;
    const given = { id: `${name}-${number}.`, to: chance.pick(bookKeys), afterMs };
    const key = chance.pick(tellerKeys);
    await this.#tell(client.entity(contract, key), `${contract.type}/${key}`, given);
  }

  async #tell(ref: { tell(said: Said): Promise<unknown> }, address: string, given: Said): Promise<Call> {
    const lossCount = this.#stage.lossCount();
    const call = await this.#calls.make(address, given.id, () => ref.tell(given));
    this.#told.push({ address, call, lossCount, key: address.slice(address.indexOf('/') + 1) });
    return call;
  }

  /** When everything has healed: everybody has something to say to everybody. */
  async again({ client, sleep }: SimulatedClient): Promise<void> {
    const calls: Promise<unknown>[] = [];
    for (let round = 0; round < 2; round++) {
      for (const contract of kinds)
        for (const key of tellerKeys)
          for (const to of bookKeys) {
            const given = { id: `again-${round}-${to}.`, to, afterMs: undefined };
            calls.push(this.#tell(client.entity(contract, key), `${contract.type}/${key}`, given));
          }
      await sleep(500);
    }
    await Promise.all(calls);
    // What is written now and then counts as finished only when it is written.
    await sleep(3_000);
    for (const contract of kinds)
      for (const key of tellerKeys) {
        const address = `${contract.type}/${key}`;
        const look = await this.#calls.make(`look ${address}`, 'life', () => client.entity(contract, key).look());
        if (look.outcome === 'done') this.#lives.set(address, (look.output as { life: string }).life);
      }
  }

  /** Who each of them is at the end. */
  readonly #lives = new Map<string, string>();

  check(entities: readonly StoredEntity[]): void {
    const notes = new Map<string, number>();
    const answered = new Map<string, number>();
    const dead = new Set<string>();
    for (const { address, state, dead: letters } of entities) {
      for (const { content, partner } of letters.values())
        if (content.kind === 'answer') dead.add(partner);
        else if (content.payload.length > 0) dead.add((decode(content.payload) as { token?: string }).token ?? '');
      if (address.startsWith('book/')) add(notes, (state.value as { notes: Record<string, number> }).notes);
      if (address.startsWith('teller/')) add(answered, (state.value as { answered: Record<string, number> }).answered);
    }
    for (const told of this.#told) {
      if (told.address.startsWith('teller/')) this.#checkDurable(told, { notes, answered, dead });
      else this.#checkVolatile(told, notes);
    }
  }

  /** Before a loss anything may have gone with it. */
  #isOfNow({ lossCount, call }: Told): boolean {
    return lossCount === this.#stage.lossCount() && call.outcome === 'done';
  }

  #checkDurable(told: Told, { notes, answered, dead }: Found): void {
    const token = `${told.key} ${told.call.id}`;
    if (!this.#isOfNow(told) || dead.has(token)) return;
    const [came, back] = [notes.get(token) ?? 0, answered.get(token) ?? 0];
    if (came !== 1)
      this.#stage.violate(
        came === 0 ? 'P7' : 'P4',
        `${told.address} said ${told.call.id} after loss ${told.lossCount}, and it came ${came} times`,
      );
    else if (back > 1 || (back === 0 && !dead.has(told.address)))
      this.#stage.violate(
        back === 0 ? 'P7' : 'P4',
        `the answer to ${told.call.id} came back to ${told.address} ${back} times`,
      );
  }

  /** At most once, whatever happened; and what was said by who is still there has come. */
  #checkVolatile(told: Told, notes: ReadonlyMap<string, number>): void {
    const start = `${told.key} ${told.call.id} `;
    const counts = [...notes].filter(([token]) => token.startsWith(start)).map(([, count]) => count);
    if (counts.some((count) => count > 1) && this.#stage.lossCount() === 0)
      this.#stage.violate('P4', `${told.address} said ${told.call.id} once, and it came ${Math.max(...counts)} times`);
    const life = (told.call.output as { life?: string } | undefined)?.life;
    const mayHaveExpired = this.#stage.limits.horizonMs < 60_000 && !told.call.id.startsWith('again');
    if (!this.#isOfNow(told) || mayHaveExpired || life !== this.#lives.get(told.address)) return;
    if (counts.length === 0)
      this.#stage.violate('P7', `${told.address} said ${told.call.id}, is still there, and it never came`);
  }
}

interface Found {
  readonly notes: ReadonlyMap<string, number>;
  readonly answered: ReadonlyMap<string, number>;
  /** Of messages, what they said; of answers, who was to get them. */
  readonly dead: ReadonlySet<string>;
}

function add(to: Map<string, number>, counts: Readonly<Record<string, number>>): void {
  for (const [token, count] of Object.entries(counts)) to.set(token, (to.get(token) ?? 0) + count);
}
