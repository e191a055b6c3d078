/**
 * Subjects: the names under which the parts of one cluster hear each other. The cluster's name is a part of each, so that
 * several clusters share a transport; keys of entities never are, so a key may hold any character.
 *
 * They are what a server's permissions tell the three parties apart by (`permissions.ts`): workers among themselves, tools,
 * clients. Who is no worker publishes to doors only, and its own name is the last word of each door, so that the server
 * vouches for it; what comes back to it has its name in the middle. What is taken at a door says `routing/ingress.ts`.
 */
import { SkerryError } from '../../core/errors.ts';
import { identityOfWord, identityWord } from '../../core/message.ts';

/** A cluster's name as it may stand in subjects. Throws `invalid-definition`. */
export function checkedCluster(name: string): string {
  if (/^[\w-]{1,64}$/.test(name)) return name;
  throw new SkerryError('invalid-definition', `'${name}' is not a cluster name: use up to 64 letters, digits, _ and -`);
}

/**
 * Who sends frames to workers without being one. A client calls as itself; a gateway calls for its own users, whose
 * identities are believed; a tool is an operator's, and may resolve dead letters besides.
 */
export type Party = 'client' | 'gateway' | 'tool';

export const parties: readonly Party[] = ['client', 'gateway', 'tool'];

const doorNames: Readonly<Record<Party, string>> = { client: 'call', gateway: 'gate', tool: 'tool' };

/** The word of who has no identity; no identity is written like this. */
const nobody = '=';
/** The word of clients in a worker's own process: no other client's permissions reach their answers. */
export const insider = '=worker';

export class Subjects {
  readonly #prefix: string;
  readonly #worker: RegExp;
  readonly #client: RegExp;

  /** The name of a cluster: letters, digits, `-` and `_`. */
  constructor(cluster: string) {
    this.#prefix = `skerry.${cluster}`;
    const start = this.#prefix.replaceAll('.', '\\.');
    this.#worker = new RegExp(`^${start}\\.(?:worker|control|call|gate|tool|resolve)\\.([\\w-]+)(?:\\.[\\w=-]+)?$`);
    this.#client = new RegExp(`^${start}\\.(?:client\\.[\\w=-]{1,128}|answers)(?:\\.[\\w-]{1,64}){1,2}$`);
  }

  /** Everything of this cluster. */
  get all(): string {
    return `${this.#prefix}.>`;
  }

  // ---- workers among themselves

  /** Frames from worker to worker, by the worker's id. */
  worker(id: string): string {
    return `${this.#prefix}.worker.${id}`;
  }

  /** No worker's: who may send there is let be a worker. */
  get noWorker(): string {
    return this.worker(nobody);
  }

  /** Signals for a worker itself, by its id. */
  control(id: string): string {
    return `${this.#prefix}.control.${id}`;
  }

  /** Signals for the worker that runs the placement service. */
  get service(): string {
    return `${this.#prefix}.service`;
  }

  /** Views, for everybody to hear. */
  get views(): string {
    return `${this.#prefix}.views`;
  }

  // ---- doors

  /** Frames for a worker from who is none. `word`: of who sends, see `wordOf`. */
  door(party: Party, id: string, word: string): string {
    return `${this.#prefix}.${doorNames[party]}.${id}.${word}`;
  }

  /** A door of no worker: who may send there may send to those of all workers. */
  noDoor(party: Party, word: string): string {
    return this.door(party, nobody, word);
  }

  /** Questions for the view and hints of absent workers: for one worker, or (undefined) for the one that runs the service. */
  resolve(id: string | undefined, word: string): string {
    return `${this.#prefix}.resolve.${id ?? nobody}.${word}`;
  }

  /** What tools ask of a worker, by the worker's id. */
  asks(id: string): string {
    return `${this.#prefix}.asks.${id}`;
  }

  // ---- what comes back

  /** Answers for a client, by its id in a connection's, under its word. */
  client(id: string, word: string = nobody): string {
    return `${this.#prefix}.client.${word}.${id}`;
  }

  /** What workers answer to a tool, by the id of who asks. */
  answers(id: string): string {
    return `${this.#prefix}.answers.${id}`;
  }

  // ---- reading them

  /** The id of the worker that would hear it; undefined: it is no worker's. */
  workerOf(subject: string): string | undefined {
    return this.#worker.exec(subject)?.[1];
  }

  /** Whether answers may be sent there: nobody makes a worker send anything to a subject that is nobody's for answers. */
  isClient(subject: string): boolean {
    return this.#client.test(subject);
  }

  /** What the subjects start with at which who has this word hears what comes back. */
  homes(word: string): readonly string[] {
    return [`${this.#prefix}.client.${word}.`, `${this.#prefix}.answers.${word}.`];
  }

  /** Whether what a tool has asked may be answered there. */
  isAnswers(subject: string): boolean {
    const start = this.answers('');
    return subject.startsWith(start) && /^[\w-]{1,64}$/.test(subject.slice(start.length));
  }
}

/** An identity as a word of subjects. */
export function wordOf(identity: string): string {
  return identity === '' ? nobody : identityWord(identity);
}

/** Whose word it is; undefined: nobody's. */
export function identityIn(word: string): string | undefined {
  if (word === nobody) return '';
  return word === '' ? undefined : identityOfWord(word);
}

/** The last word of a subject. */
export function lastWordOf(subject: string): string {
  return subject.slice(subject.lastIndexOf('.') + 1);
}
