/**
 * What the clients of an enumeration ask: each a list of calls, written as calls of references.
 *
 * Owns the recording of a script and the ids of its holds. When a call is made is the enumeration's.
 */
import type { Content } from '../../core/activity.ts';
import { type AnyEntity, type InputArguments, typeIn } from '../../core/entity.ts';
import { SkerryError } from '../../core/errors.ts';
import { defaultLimits } from '../../core/limits.ts';
import { type Address, addressOf } from '../../core/message.ts';
import type { AnyOperation, Command, OperationMap, Tentative } from '../../core/operation.ts';
import { References } from '../../core/reference.ts';
import { storable } from '../../core/storable.ts';
import { encode } from '../wire/codec.ts';

/** A tentative operation that a client asks for: what it does with its hold, whether it is accepted or not. */
export interface AskedHold {
  confirm(): void;
  cancel(): void;
}

/** What a client may ask of an entity: one method per command and tentative operation. Each adds a call to the client's list. */
export type Asker<Operations extends OperationMap> = {
  readonly [Name in keyof Operations]: Operations[Name] extends Command<infer Given, infer _I, infer _O>
    ? (...input: InputArguments<Given>) => void
    : Operations[Name] extends Tentative<infer Given, infer _I, infer _O>
      ? (...input: InputArguments<Given>) => AskedHold
      : never;
};

/** An entity to ask. */
export type Ask = <Contract extends AnyEntity>(contract: Contract, key: string) => Asker<Contract['operations']>;

/** One call of a client. */
export interface ScriptedCall {
  readonly client: string;
  /** Its place among the client's calls, from 1. */
  readonly number: number;
  readonly to: Address;
  readonly content: Content;
}

/** The calls that a client makes, in its order. */
export function callsOf(client: string, script: (ask: Ask) => void): readonly ScriptedCall[] {
  const calls: ScriptedCall[] = [];
  const add = (to: Address, kind: Content['kind'], operation: string, rest: { payload?: Uint8Array; hold: string }) => {
    const content: Content = { kind, operation, payload: new Uint8Array(0), wantsAnswer: false, ...rest };
    calls.push({ client, number: calls.length + 1, to, content });
  };
  const references = new References<Address>(
    (to, name, operation, [input]) => {
      const hold = operation.kind === 'tentative' ? `${client}-${calls.length + 1}` : '';
      add(to, 'operation', name, { payload: payloadOf(operation, name, input), hold });
      if (hold === '') return undefined;
      return { confirm: () => add(to, 'confirm', name, { hold }), cancel: () => add(to, 'cancel', name, { hold }) };
    },
    () => true,
  );
  const ask = (contract: AnyEntity, key: string) => references.make(contract, addressOf(typeIn(contract), key));
  script(ask as Ask);
  return calls;
}

function payloadOf(operation: AnyOperation, name: string, input: unknown): Uint8Array {
  if (operation.kind === 'query')
    throw new SkerryError(
      'invalid-definition',
      `'${name}' is a query: it changes nothing, so no client of enumerate() asks it`,
    );
  return input === undefined
    ? new Uint8Array(0)
    : encode(storable(input, `input of ${name}`, defaultLimits.messageBytesMax)).slice();
}
