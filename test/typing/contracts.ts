/** What contracts infer: states, inputs before and after validation, outputs, activities, and what callers may call. */

import { behaviour, type DeepReadonly } from '../../core/behaviour.ts';
import type {
  AcceptedHold,
  ActivityIsNotInTheContract,
  ActivityOf,
  Caller,
  CallOptions,
  Hold,
  QueryCannotBeSentFromATurn,
  Sender,
  StateOf,
} from '../../core/entity.ts';
import { entity } from '../../core/entity.ts';
import { command, query, type Schema, unchecked } from '../../core/operation.ts';
import type { EmbeddedCluster } from '../../runtime/embed.ts';
import type { Customer, Order, Stock } from './shop.ts';

type Equal<Left, Right> =
  (<Probe>() => Probe extends Left ? 1 : 2) extends <Probe>() => Probe extends Right ? 1 : 2 ? true : false;
/** Compiles only for equal types: a mutual `extends` would let `any` and optional properties through. */
function same<Left, Right>(..._proof: Equal<Left, Right> extends true ? [] : [never]): void {}

export function infersStateAndActivities(): void {
  same<StateOf<typeof Stock>, { free: number; held: number; tags: string[] }>();
  same<StateOf<typeof Order>, { id: string; lines: Record<string, number>; isOpen: boolean }>();
  same<ActivityOf<typeof Order, 'stock'>, { tentativeUnits: number }>();
  same<ActivityOf<typeof Order, 'nobody'>, ActivityIsNotInTheContract>();
  same<ActivityOf<typeof Customer, 'stock'>, ActivityIsNotInTheContract>();
  same<(typeof Stock)['type'], 'stock'>();
  // @ts-expect-error a wrong claim must not compile, or `same` proves nothing
  same<StateOf<typeof Stock>, { free: number }>();
}

export function infersInitialFromItsKey(): void {
  entity('counter', { initial: (key) => ({ key: key.length }), operations: { add: command() } });
  // @ts-expect-error the key is a string
  entity('counter', { initial: (key: number) => ({ key }), operations: { add: command() } });
  // @ts-expect-error an entity needs its state at first
  entity('counter', { operations: { add: command() } });
  // @ts-expect-error a type alone is no schema
  entity('stock', { initial: () => 0, operations: { receive: command<{ units: number }>() } });
  // @ts-expect-error an operation is made by command, query or tentative
  entity('counter', { initial: () => ({}), operations: { add: () => undefined } });
}

export async function callersAreTyped(stock: Caller<(typeof Stock)['operations']>): Promise<void> {
  same<Awaited<ReturnType<typeof stock.receive>>, void>();
  same<Awaited<ReturnType<typeof stock.count>>, { free: number }>();
  same<Awaited<ReturnType<typeof stock.available>>, number>();
  same<Awaited<ReturnType<typeof stock.reserve>>, AcceptedHold<void>>();
  same<Awaited<ReturnType<typeof stock.inspect>>, AcceptedHold<{ grade: string }>>();
  const available: number = await stock.available();
  const isCheap: boolean = await stock.cheaperThan({ cents: available });
  const held = await stock.inspect({ units: 1 });
  const hold: Hold = held.hold;
  await (isCheap ? held.confirm({ deadlineMs: 10 }) : held.cancel());
  // What is passed, not what validation makes of it.
  await stock.label({ at: '12' });
  await stock.note();
  await stock.note(hold.id);
}

export async function callersTakeOptionsLast(stock: Caller<(typeof Stock)['operations']>): Promise<void> {
  const options: CallOptions = { deadlineMs: 100, idempotencyKey: 'delivery-7', keyLifeMs: 1_000 };
  await stock.receive({ units: 1 }, options);
  await stock.cheaperThan({ cents: 1 }, options);
  await stock.reserve({ units: 1 }, options);
  await stock.clear(undefined, options);
  await stock.available(undefined, options);
  await stock.note(undefined, options);
  // @ts-expect-error options come after the input
  await stock.receive(options);
  await stock.clear(options);
  await stock.available(options);
  // @ts-expect-error it takes no input, and this is no option
  await stock.clear({ units: 1 });
  // @ts-expect-error no such option
  await stock.receive({ units: 1 }, { timeoutMs: 1 });
}

export async function callersRefuseWrongInput(stock: Caller<(typeof Stock)['operations']>): Promise<void> {
  // @ts-expect-error the input is missing
  await stock.receive();
  // @ts-expect-error wrong type of a field
  await stock.receive({ units: '1' });
  // @ts-expect-error a field that is not of the input
  await stock.receive({ units: 1, unit: 2 });
  // @ts-expect-error no such operation
  await stock.recieve({ units: 1 });
  // @ts-expect-error the number comes after validation; a text is passed
  await stock.label({ at: 12 });
  // @ts-expect-error it takes no input
  await stock.clear({ units: 1 });
  // @ts-expect-error the output is a number
  const wrong: string = await stock.available();
  return void wrong;
}

export function sendersCarryNoQueries(): void {
  type Stocks = Sender<(typeof Stock)['operations']>;
  same<Stocks['available'], QueryCannotBeSentFromATurn>();
  same<Sender<(typeof Order)['operations']>['state'], QueryCannotBeSentFromATurn>();
}

export function uncheckedSchemasKeepTheirTypes(): void {
  const Plain = entity('plain', {
    initial: () => ({ last: 0 }),
    operations: { put: command(unchecked<{ value: number }>()), last: query(unchecked<number>()) },
  });
  type Plainly = Caller<(typeof Plain)['operations']>;
  same<Parameters<Plainly['put']>, [input: { value: number }, options?: CallOptions]>();
  same<ReturnType<Plainly['last']>, Promise<number>>();
}

export function whatCannotBeStoredIsAnErrorOnItsField(): void {
  entity('plain', {
    initial: () => ({
      // @ts-expect-error milliseconds
      at: new Date(),
      // @ts-expect-error an object or pairs
      map: new Map<string, number>(),
      // @ts-expect-error an array
      deep: { list: [{ set: new Set<string>() }] },
      // @ts-expect-error a function
      run: () => 1,
      fine: {
        text: '',
        list: [1],
        bytes: new Uint8Array(),
        big: 1n,
        none: null,
        maybe: undefined as string | undefined,
      },
    }),
    operations: {},
  });
  // @ts-expect-error one of a union
  entity('plain', { initial: (): { at: Date | null } => ({ at: null }), operations: {} });
  interface Tree {
    readonly name: string;
    readonly children: readonly Tree[];
  }
  const Forest = entity('forest', {
    initial: (): { root: Tree; loose: unknown; by: Record<string, Tree> } => ({
      root: { name: '', children: [] },
      loose: 1,
      by: {},
    }),
    operations: {},
  });
  same<StateOf<typeof Forest>, { root: Tree; loose: unknown; by: Record<string, Tree> }>();
}

export function reservedNamesAreErrorsOnTheirOperations(): void {
  // @ts-expect-error every object has it
  entity('plain', { initial: () => ({}), operations: { toJSON: command() } });
  // @ts-expect-error a reference has an activity
  entity('plain', { initial: () => ({}), operations: { fine: command(), activity: command() } });
}

/** A type made for any value: its operations may be of it, and are typed where it is used. */
function register<Value>(type: string, schema: Schema<Value>) {
  const Register = entity(type, {
    initial: () => ({ values: [] as unknown[] }),
    operations: { put: command(schema, schema), last: query(schema) },
  });
  const made = behaviour(Register, {
    put(turn, value) {
      turn.state.values.push(value);
      return value;
    },
    last: (view) => view.state.values.at(-1) as DeepReadonly<Value>,
  });
  return { Register, made };
}

export async function genericTypesAreTypedWhereTheyAreUsed(cluster: Pick<EmbeddedCluster, 'entity'>): Promise<void> {
  const { Register } = register('texts', unchecked<string>());
  const put: string = await cluster.entity(Register, 'a').put('x');
  const last: string = await cluster.entity(Register, 'a').last({ deadlineMs: 1 });
  // @ts-expect-error a text
  await cluster.entity(Register, 'a').put(1);
  return void [put, last];
}
