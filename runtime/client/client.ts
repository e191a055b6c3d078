/**
 * A client: the object by which an application calls entities.
 *
 * Owns the references, the message of each kind of call, and the translation of its answer for the caller. `calls.ts` gets
 * the call there and back, with its effect once.
 */
import type { Content } from '../../core/activity.ts';
import {
  type AcceptedHold,
  type AnyEntity,
  type Caller,
  type CallOptions,
  checkedHold,
  type Hold,
  typeIn,
} from '../../core/entity.ts';
import { aboutIt, codeOf, SkerryError, textOf } from '../../core/errors.ts';
import { type Address, addressOf, clientPartner, keyPartner, parseAddress } from '../../core/message.ts';
import type { AnyOperation } from '../../core/operation.ts';
import type { DeadLetter, OutboxRow } from '../../core/record.ts';
import { References } from '../../core/reference.ts';
import type { AnswerRow } from '../../core/request.ts';
import { storable } from '../../core/storable.ts';
import { encode } from '../wire/codec.ts';
import type { Envelope } from '../wire/envelope.ts';
import { type CallRequest, Calls, type ClientParts } from './calls.ts';

const nothing = new Uint8Array(0);
const callOptions: ReadonlySet<string> = new Set<keyof CallOptions>(['deadlineMs', 'idempotencyKey', 'keyLifeMs']);

/** A message in an outbox, and its session. */
export interface OutboxEntry extends OutboxRow {
  readonly session: number;
}

/** Options of a call by name. */
export interface NamedCallOptions extends CallOptions {
  /** The operation's kind (default `command`). */
  readonly kind?: AnyOperation['kind'] | undefined;
}

/** A client of a cluster, with one identity. Calls on a closed client reject with `closed`. */
export class Client {
  readonly #parts: ClientParts;
  readonly #partner: string;
  readonly #calls: Calls;
  readonly #references: References<Address>;

  /** @internal */
  constructor(parts: ClientParts) {
    this.#parts = parts;
    this.#partner = clientPartner(parts.identity, parts.environment.newId());
    this.#calls = new Calls(parts, this.#partner);
    this.#references = new References<Address>(
      (address, name, operation, given) => this.#invoke(address, name, operation, given),
      () => true,
    );
  }

  /** @internal */
  get callCount(): number {
    return this.#calls.count;
  }

  /** A reference to an entity, with one method per operation. The entity need not exist yet. Throws `invalid-address`. */
  entity<Contract extends AnyEntity>(contract: Contract, key: string): Caller<Contract['operations']> {
    // The reference has exactly the contract's operations. The compiler cannot see that, because its prototype is made at run time.
    return this.#references.make(contract, addressOf(typeIn(contract), key)) as Caller<Contract['operations']>;
  }

  /**
   * Call an operation by its name, without a contract, as gateways and tools do. Resolves with the output, or for
   * `kind: 'tentative'` with an `AcceptedHold`. Rejects as a call through a reference does, and with `unknown-operation` if
   * the operation is of another kind.
   */
  async call(
    address: Address,
    operation: string,
    input?: unknown,
    { kind = 'command', ...options }: NamedCallOptions = {},
  ): Promise<unknown> {
    parseAddress(address);
    // No contract has checked this name, and a frame has no room for one of any length.
    if (operation.length > this.#parts.limits.nameLengthMax)
      throw new SkerryError('unknown-operation', `The name of an operation cannot have ${operation.length} characters`);
    return this.#call(address, operation, kind, input, options);
  }

  /** Retry or drop a dead letter of an entity. Rejects with `not-found`, or with the error of the retried turn. */
  async resolveDead(
    address: Address,
    { id, content: { operation } }: Pick<DeadLetter, 'id' | 'content'>,
    kind: 'dead-retry' | 'dead-drop',
  ): Promise<void> {
    parseAddress(address);
    const content: Content = { kind, operation, payload: encode(id), hold: '', wantsAnswer: false };
    const row = await this.#message(address, content, {});
    outputOf(address, kind, row);
  }

  /** Move a message from an entity's outbox to its dead letters. Resolves with the dead letter's id. Rejects with `not-found`. */
  async dropMessage(address: Address, { partner, session, message: { seq, content } }: OutboxEntry): Promise<string> {
    parseAddress(address);
    const kind = 'outbox-drop';
    const payload = encode([partner, session, seq]);
    const row = await this.#message(
      address,
      { kind, operation: content.operation, payload, hold: '', wantsAnswer: false },
      {},
    );
    return textOf(outputOf(address, kind, row));
  }

  /** If the operation takes no input, the options may be the first argument. Any other single argument is a mistaken input. */
  #invoke(address: Address, name: string, operation: AnyOperation, given: readonly unknown[]): Promise<unknown> {
    const isAlone = operation.input === undefined && given.length === 1;
    const [input, options = {}] = isAlone ? [undefined, given[0]] : given;
    const known = typeof options === 'object' && options !== null ? (options as CallOptions) : undefined;
    if (known !== undefined && (!isAlone || Object.keys(known).every((option) => callOptions.has(option))))
      return this.#call(address, name, operation.kind, input, known);
    const what = isAlone ? 'takes no input, only options' : 'has wrong options';
    const text = `${address} ${name} ${what}: { ${[...callOptions].join(', ')} }`;
    return Promise.reject(new SkerryError('invalid-input', text));
  }

  #call(
    address: Address,
    name: string,
    kind: AnyOperation['kind'],
    input: unknown,
    options: CallOptions,
  ): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const payload = this.#encodeInput(input, address, name);
      const request: CallRequest = { address, name, content: undefined, query: undefined };
      if (kind === 'query') {
        request.query = { operation: name, payload };
        this.#calls.start(request, options, (row) => resolve(outputOf(address, name, row)), reject);
        return;
      }
      const hold: Hold | undefined =
        kind === 'tentative' ? { entity: address, operation: name, id: this.#holdId(options) } : undefined;
      request.content = { kind: 'operation', operation: name, payload, hold: hold?.id ?? '', wantsAnswer: true };
      const settle = (row: AnswerRow) => {
        const output = outputOf(address, name, row);
        resolve(hold === undefined ? output : this.#accepted(hold, output));
      };
      this.#calls.start(request, options, settle, reject);
    });
  }

  #holdId(options: CallOptions): string {
    // A call repeated under the same key from another process must get the same hold id.
    return options.idempotencyKey === undefined
      ? `${this.#partner}.${this.#calls.startedCount.toString(36)}`
      : keyPartner(this.#parts.identity, options.idempotencyKey);
  }

  #accepted(hold: Hold, output: unknown): AcceptedHold<unknown> {
    return {
      hold,
      output,
      confirm: (options = {}) => this.resolve(hold, 'confirm', options),
      cancel: (options = {}) => this.resolve(hold, 'cancel', options),
    };
  }

  /** Confirm or cancel a hold, including one from another process. Rejects with `lapsed` if it is too late to confirm. */
  async resolve(hold: Hold, kind: 'confirm' | 'cancel', options: CallOptions = {}): Promise<void> {
    const { entity, operation, id } = checkedHold(hold);
    const content: Content = { kind, operation, payload: nothing, hold: id, wantsAnswer: true };
    const row = await this.#message(entity, content, options);
    if (row[0] === 'lapsed' && kind === 'confirm')
      throw new SkerryError('lapsed', `The hold on ${hold.entity} had lapsed: ${hold.operation} was cancelled`);
    if (row[0] !== 'lapsed') outputOf(hold.entity, `${kind} of ${hold.operation}`, row);
  }

  #encodeInput(input: unknown, address: Address, name: string): Uint8Array {
    if (input === undefined) return nothing;
    const { messageBytesMax } = this.#parts.limits;
    const bytes = encode(storable(input, 'input', messageBytesMax));
    if (bytes.length > messageBytesMax)
      throw new SkerryError(
        'too-large',
        `The input of ${address} ${name} takes ${bytes.length} bytes; messageBytesMax is ${messageBytesMax}`,
      );
    return bytes;
  }

  #message(address: Address, content: Content, options: CallOptions): Promise<AnswerRow> {
    return new Promise((resolve, reject) =>
      this.#calls.start({ address, name: content.kind, content, query: undefined }, options, resolve, reject),
    );
  }

  /** @internal Sends calls in flight again at once; see `Calls.again`. */
  again(isMoved: (address: Address) => boolean): void {
    this.#calls.again(isMoved);
  }

  /** @internal See `Calls.refused`. */
  refused(reason: string, lostMs: number, isHere?: (address: Address) => boolean): void {
    this.#calls.refused(reason, lostMs, isHere);
  }

  /** @internal */
  receive(envelope: Envelope): void {
    if (envelope.kind === 'reply') this.#calls.receive(envelope);
  }

  /** Reject the calls in flight with `closed`. Their operations may still take effect. */
  close(): void {
    this.#calls.close();
    this.#parts.closed?.();
  }
}

function outputOf(address: Address, name: string, row: AnswerRow): unknown {
  const [status, first, second] = row;
  if (status === 'refused') throw new SkerryError('refused', textOf(first), { detail: second });
  if (status === 'failed') throw new SkerryError(codeOf(first), aboutIt(address, name, textOf(second)));
  return first;
}
