/**
 * Subjects: the names under which the parts of one cluster hear each other. The cluster's name is a part of each, so that
 * several clusters share a transport; keys of entities never are, so a key may hold any character.
 */
import { SkerryError } from '../core/errors.ts';

/** A cluster's name as it may stand in subjects. Throws `invalid-definition`. */
export function checkedCluster(name: string): string {
  if (/^[\w-]{1,64}$/.test(name)) return name;
  throw new SkerryError('invalid-definition', `'${name}' is no cluster's name: up to 64 letters, digits, _ and -`);
}

export class Subjects {
  readonly #prefix: string;

  /** The name of a cluster: letters, digits, `-` and `_`. */
  constructor(cluster: string) {
    this.#prefix = `skerry.${cluster}`;
  }

  /** Messages for the entities of a worker, by the worker's id. */
  worker(id: string): string {
    return `${this.#prefix}.worker.${id}`;
  }

  /** Signals for a worker itself, by its id. */
  control(id: string): string {
    return `${this.#prefix}.control.${id}`;
  }

  /** Answers for a client, by the client's id. */
  client(id: string): string {
    return `${this.#prefix}.client.${id}`;
  }

  /** What tools ask of a worker, by the worker's id. */
  asks(id: string): string {
    return `${this.#prefix}.asks.${id}`;
  }

  /** What workers answer to a tool, by the id of who asks. */
  answers(id: string): string {
    return `${this.#prefix}.answers.${id}`;
  }

  /** Views, for everybody. */
  get views(): string {
    return `${this.#prefix}.views`;
  }

  /** Signals for whoever runs the placement service. */
  get service(): string {
    return `${this.#prefix}.service`;
  }

  /** The id of the worker whose subject it is, for messages or signals; undefined: it is none. */
  workerOf(subject: string): string | undefined {
    for (const start of [this.worker(''), this.control('')])
      if (subject.startsWith(start)) return subject.slice(start.length);
    return undefined;
  }

  /** Whether answers may be sent there: nobody makes a worker send anything to a subject that is no client's. */
  isClient(subject: string): boolean {
    return isOneOf(this.client(''), subject);
  }

  /** The same for what tools have asked. */
  isAnswers(subject: string): boolean {
    return isOneOf(this.answers(''), subject);
  }
}

function isOneOf(start: string, subject: string): boolean {
  return subject.startsWith(start) && /^[\w-]{1,64}$/.test(subject.slice(start.length));
}
