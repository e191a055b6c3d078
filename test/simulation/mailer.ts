/** Mailer: effects that fail and come back, each with one idempotency key and one outcome; an actor class. */
import {
  type Behaviour,
  behaviour,
  command,
  effect,
  entity,
  query,
  settled,
  type Turn,
  unchecked,
  type View,
} from '../../core/index.ts';
import type { Invariant, SimulatedClient, Stage, StoredEntity } from '../../runtime/testing/index.ts';
import type { Calls } from './calls.ts';

interface Mail {
  id: string;
  /** How many tries fail. */
  failures: number;
  takesMs: number;
}

interface MailerState {
  turns: number;
  log: string[];
  settled: Record<string, string>;
  anomalies: string[];
}

export const Mailer = entity('mailer', {
  initial: (): MailerState => ({ turns: 0, log: [], settled: {}, anomalies: [] }),
  operations: {
    mail: command(unchecked<Mail>(), unchecked<{ turns: number }>()),
    look: query(unchecked<{ turns: number }>()),
  },
});

const attemptsMax = 3;

class MailerActor {
  /** Volatile: what it says must be of no consequence. */
  #count = 0;

  mail(turn: Turn<typeof Mailer>, mail: Mail): { turns: number } {
    this.#count += 1;
    turn.state.turns += 1;
    turn.state.log.push(mail.id);
    turn.perform(this.send, mail);
    if (turn.random() < 0.05) throw new Error(`after ${this.#count} turns`);
    return { turns: turn.state.turns };
  }

  look({ state }: View<typeof Mailer>): { turns: number } {
    return { turns: state.turns };
  }

  readonly send: ReturnType<typeof sender>;
  constructor(send: ReturnType<typeof sender>) {
    this.send = send;
  }
}

/** The outside world: checks that a key stands for one mail, and a mail for one key (P4), of a durable turn (P2). */
function sender(stage: Stage) {
  const keys = new Map<string, string>();
  const mails = new Map<string, string>();
  const attempts = new Map<string, number>();
  return effect(
    'send',
    async ({ id, failures, takesMs }: Mail, { idempotencyKey, address }) => {
      const mail = `${address} ${id}`;
      if ((keys.get(idempotencyKey) ?? mail) !== mail)
        stage.violate('P4', `key ${idempotencyKey} was for ${keys.get(idempotencyKey)} and is for ${mail}`);
      if ((mails.get(mail) ?? idempotencyKey) !== idempotencyKey)
        stage.violate('P4', `${mail} had key ${mails.get(mail)} and has ${idempotencyKey}`);
      keys.set(idempotencyKey, mail);
      mails.set(mail, idempotencyKey);
      if (!stage.image.everAsked.has(`${address}\n${idempotencyKey}`))
        stage.violate('P2', `the effect for ${mail} runs before its turn is durable`);
      const attempt = (attempts.get(mail) ?? 0) + 1;
      attempts.set(mail, attempt);
      await stage.sleep(takesMs);
      if (attempt <= failures) throw new Error('no connection');
      return { id };
    },
    { attemptsMax },
  );
}

export function mailer(stage: Stage): Behaviour {
  const send = sender(stage);
  return behaviour(
    Mailer,
    class extends MailerActor {
      constructor() {
        super(send);
      }
    },
    {
      effects: [
        settled(Mailer, send, (turn, outcome) => {
          if (turn.random() < 0.1) throw new Error('transient');
          const id = outcome.status === 'done' ? outcome.output.id : undefined;
          const name = id ?? `failed ${Object.keys(turn.state.settled).length}`;
          if (turn.state.settled[name] !== undefined) turn.state.anomalies.push(`mail ${name} settled twice`);
          turn.state.settled[name] = outcome.status;
        }),
      ],
    },
  );
}

/** Once dead letters are dropped, so are the mails that they stand for. */
export const mailerInvariant =
  (isDropping: () => boolean): Invariant =>
  ({ state, effects, dead }: StoredEntity) => {
    const { anomalies, log, settled: done } = state.value as MailerState;
    if (anomalies.length > 0) throw new Error(anomalies.join('; '));
    const known = Object.keys(done).length + effects.size + dead.size;
    if (known !== log.length && !(isDropping() && known < log.length))
      throw new Error(`${log.length} mails, ${known} settled, pending or dead`);
  };

export async function useMailer(
  { client, chance, name }: SimulatedClient,
  calls: Calls,
  keys: readonly string[],
  number: number,
): Promise<void> {
  const key = chance.pick(keys);
  const ref = client.entity(Mailer, key);
  const address = `mailer/${key}`;
  if (chance.hits(0.2)) return calls.look(address, () => ref.look());
  const id = `${name}-${number}.`;
  await calls.make(address, id, () =>
    ref.mail({ id, failures: chance.pick([0, 0, 1, 2, 5]), takesMs: chance.between(0, 300) }),
  );
}
