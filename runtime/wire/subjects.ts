/**
 * Subjects: the addresses of workers, clients and tools on the transport. The cluster's name is a part of each, so that several
 * clusters can share a transport. Keys of entities never are, so a key may contain any character.
 *
 * A server's permissions separate the parties by subject (`permissions.ts`): workers, tools, gateways and clients. Clients,
 * gateways and tools publish to *doors* only. The last word of a door is its sender's own, and the server enforces that. Answers
 * go to subjects with that word in the middle. `routing/ingress.ts` decides what a door accepts.
 */
import { SkerryError } from '../../core/errors.ts';
import { identityOfWord, identityWord } from '../../core/message.ts';

/** Checks the name of a cluster, which becomes part of subjects. Throws `invalid-definition`. */
export function checkedCluster(name: string): string {
  if (/^[\w-]{1,64}$/.test(name)) return name;
  throw new SkerryError('invalid-definition', `'${name}' is not a cluster name: use up to 64 letters, digits, _ and -`);
}

/**
 * The role of a process that is not a worker. A client calls under its own identity. A gateway calls for its users; the
 * identities that it states are trusted. A tool is an operator's, and may also resolve dead letters.
 */
export type Party = 'client' | 'gateway' | 'tool';

export const parties: readonly Party[] = ['client', 'gateway', 'tool'];

const doorNames: Readonly<Record<Party, string>> = { client: 'call', gateway: 'gate', tool: 'tool' };

/** The word for no identity. No identity is encoded like this. */
const nobody = '=';
/** The word of clients in a worker's own process: no client's permissions reach their answers. */
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

  /** All subjects of this cluster. */
  get all(): string {
    return `${this.#prefix}.>`;
  }

  // ---- between workers

  /** Frames to a worker, by its id. */
  worker(id: string): string {
    return `${this.#prefix}.worker.${id}`;
  }

  /** The subject of no worker: permission to publish there is permission to be a worker. */
  get noWorker(): string {
    return this.worker(nobody);
  }

  /** Control messages to a worker, by its id. */
  control(id: string): string {
    return `${this.#prefix}.control.${id}`;
  }

  /** Control messages to the worker that runs the placement service. */
  get service(): string {
    return `${this.#prefix}.service`;
  }

  /** Publications of views. */
  get views(): string {
    return `${this.#prefix}.views`;
  }

  // ---- doors

  /** A door: frames to a worker from a process that is not one. `word`: the sender's, see `wordOf`. */
  door(party: Party, id: string, word: string): string {
    return `${this.#prefix}.${doorNames[party]}.${id}.${word}`;
  }

  /** The door of no worker: permission to publish there is permission to publish to the doors of all workers. */
  noDoor(party: Party, word: string): string {
    return this.door(party, nobody, word);
  }

  /** Requests for the view and reports of absent workers: to one worker, or (undefined) to the one that runs the service. */
  resolve(id: string | undefined, word: string): string {
    return `${this.#prefix}.resolve.${id ?? nobody}.${word}`;
  }

  /** Admin requests to a worker, by its id. */
  asks(id: string): string {
    return `${this.#prefix}.asks.${id}`;
  }

  // ---- answers

  /** Answers to a client: by its id within its connection, under its word. */
  client(id: string, word: string = nobody): string {
    return `${this.#prefix}.client.${word}.${id}`;
  }

  /** Answers of workers to a tool, by the tool's id. */
  answers(id: string): string {
    return `${this.#prefix}.answers.${id}`;
  }

  // ---- parsing

  /** The id of the worker that listens to a subject; undefined: none. */
  workerOf(subject: string): string | undefined {
    return this.#worker.exec(subject)?.[1];
  }

  /** Whether a subject is one for answers: no request can make a worker publish to any other. */
  isClient(subject: string): boolean {
    return this.#client.test(subject);
  }

  /** The prefixes of the subjects on which a sender with this word gets answers. */
  homes(word: string): readonly string[] {
    return [`${this.#prefix}.client.${word}.`, `${this.#prefix}.answers.${word}.`];
  }

  /** Whether a subject is one for answers to a tool. */
  isAnswers(subject: string): boolean {
    const start = this.answers('');
    return subject.startsWith(start) && /^[\w-]{1,64}$/.test(subject.slice(start.length));
  }
}

/** An identity as a subject word. */
export function wordOf(identity: string): string {
  return identity === '' ? nobody : identityWord(identity);
}

/** The identity of a word; undefined if it is not a valid one. */
export function identityIn(word: string): string | undefined {
  if (word === nobody) return '';
  return word === '' ? undefined : identityOfWord(word);
}

/** The last word of a subject. */
export function lastWordOf(subject: string): string {
  return subject.slice(subject.lastIndexOf('.') + 1);
}
