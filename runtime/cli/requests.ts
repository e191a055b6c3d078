/**
 * What commands ask of a running app, as plain JSON values, and how the app answers. The same code serves the control
 * socket and an app that was started for one call.
 */
import type { Behaviour } from '../../core/behaviour.ts';
import type { CallOptions, Hold } from '../../core/entity.ts';
import { isSkerryError } from '../../core/errors.ts';
import { parseAddress } from '../../core/message.ts';
import { validateInput } from '../../core/operation.ts';
import type { Inspector } from '../admin/inspector.ts';
import { type KnownOperation, type KnownType, knownTypes } from '../admin/worker-report.ts';
import type { Client } from '../client/client.ts';
import type { Worker } from '../worker/worker.ts';
import { addressText } from './escape.ts';
import { CliError } from './failure.ts';
import { jsonText } from './json.ts';
import { suggestion } from './suggest.ts';

export type AppRequest =
  | { readonly ask: 'hello' }
  | {
      readonly ask: 'call';
      readonly address: string;
      readonly operation: string;
      readonly input?: unknown;
      readonly idempotencyKey?: string;
      readonly deadlineMs?: number;
    }
  | { readonly ask: 'confirm' | 'cancel'; readonly hold: Hold; readonly deadlineMs?: number }
  | { readonly ask: 'dead-retry' | 'dead-drop'; readonly address: string; readonly id: string }
  | { readonly ask: 'start-worker'; readonly worker: string }
  | { readonly ask: 'outbox-drop'; readonly address: string; readonly partner: string; readonly seq: number };

/** What is asked: an app of this process, or of a cluster somewhere else. */
export interface AskedApp {
  readonly client: Client;
  readonly inspector: Inspector;
  readonly types: readonly KnownType[];
  /** Throws `invalid-input`, where schemas are at hand; else the turn alone does. */
  check(address: string, operation: string, input: unknown): void;
  /** What `hello` answers. */
  hello(): object;
}

export interface Hello {
  readonly pid: number;
  readonly app: string;
  readonly startedAt: number;
  readonly figures: { readonly activations: number; readonly turns: number; readonly queued: number };
}

/** Throws what the call throws, and errors about types, operations and inputs that nothing was sent for. */
export async function answer(app: AskedApp, request: AppRequest): Promise<unknown> {
  switch (request.ask) {
    case 'hello':
      return app.hello();
    case 'call':
      return performCall(app, request);
    case 'confirm':
    case 'cancel':
      await app.client.resolve(request.hold, request.ask, deadlineOf(request.deadlineMs));
      return { status: request.ask === 'confirm' ? 'confirmed' : 'cancelled' };
    case 'dead-retry':
    case 'dead-drop':
      return resolveDead(app, request);
    case 'outbox-drop':
      return dropMessage(app, request);
    case 'start-worker':
      throw new CliError('usage', 'An app on a data folder has no workers to start: only skerry up has');
  }
}

/** An app that runs in this process; `about` is what `hello` answers beside the figures. */
export function hostedApp(
  cluster: Pick<AskedApp, 'client' | 'inspector'> & { readonly workers: readonly Worker[] },
  behaviours: readonly Behaviour[],
  about: object,
): AskedApp {
  return {
    client: cluster.client,
    inspector: cluster.inspector,
    types: knownTypes(behaviours),
    check: (address, name, input) => {
      const { type } = parseAddress(address);
      const operation = behaviours.find(({ contract }) => contract.type === type)?.operations[name];
      if (operation !== undefined) validateInput(operation, input, `${addressText(address)} ${name}`);
    },
    hello: () => ({ ...about, figures: figuresOf(cluster.workers) }),
  };
}

export function figuresOf(workers: readonly Worker[]): Hello['figures'] {
  const sum = { activations: 0, turns: 0, queued: 0 };
  for (const { figures } of workers) {
    sum.activations += figures.activations;
    sum.turns += figures.turns;
    sum.queued += figures.queued;
  }
  return sum;
}

function deadlineOf(deadlineMs: number | undefined): CallOptions {
  return deadlineMs === undefined ? {} : { deadlineMs };
}

async function performCall(app: AskedApp, request: Extract<AppRequest, { ask: 'call' }>): Promise<unknown> {
  const { address, operation: name, input, idempotencyKey } = request;
  const operation = operationOf(app.types, address, name);
  app.check(address, name, input);
  const options = { ...deadlineOf(request.deadlineMs), ...(idempotencyKey === undefined ? {} : { idempotencyKey }) };
  try {
    const output = await app.client.call(address, name, input, { ...options, kind: operation.kind });
    if (operation.kind !== 'tentative') return { status: 'done', output };
    const { hold, output: accepted } = output as { hold: Hold; output: unknown };
    return { status: 'accepted', output: accepted, hold, holdMs: operation.holdMs };
  } catch (error) {
    throw asRefusal(error, `${addressText(address)} refused ${name}`);
  }
}

/** A refusal's message is the application's reason alone: say who refused what. */
function asRefusal(error: unknown, who: string): unknown {
  if (!isSkerryError(error, 'refused')) return error;
  const advice = error.detail === undefined ? {} : { advice: `detail: ${jsonText(error.detail)}` };
  return new CliError('refused', `${who}: ${error.message}`, { detail: error.detail, ...advice });
}

/** Throws `invalid-address`, `unknown-type`, `unknown-operation`. */
function operationOf(types: readonly KnownType[], address: string, name: string): KnownOperation {
  const { type } = parseAddress(address);
  const { operations } = knownType(types, type);
  const operation = operations.find((one) => one.name === name);
  if (operation !== undefined) return operation;
  throw new CliError('unknown-operation', `'${type}' has no operation '${name}'`, {
    advice: suggestion(
      name,
      operations.map((one) => one.name),
    ),
  });
}

function knownType(types: readonly KnownType[], type: string): KnownType {
  const found = types.find((one) => one.type === type);
  if (found !== undefined) return found;
  throw new CliError('unknown-type', `The app has no entity type '${type}'`, {
    advice: suggestion(
      type,
      types.map((one) => one.type),
    ),
  });
}

async function resolveDead(
  { client, inspector, types }: AskedApp,
  { ask, address, id }: Extract<AppRequest, { ask: 'dead-retry' | 'dead-drop' }>,
): Promise<unknown> {
  knownType(types, parseAddress(address).type);
  const letter = await inspector.deadLetter(address, id);
  await client.resolveDead(address, letter, ask);
  const found = await inspector.get(address, { activityCountMax: 0 });
  if (!found?.dead.some((one) => one.id === id && one.at === letter.at))
    return { status: ask === 'dead-retry' ? 'retried' : 'dropped' };
  throw new CliError('failed', `${addressText(address)}: dead letter ${id} failed again, and stays`, {
    advice: `it failed first with: ${letter.reason}`,
  });
}

async function dropMessage(
  { client, inspector, types }: AskedApp,
  { address, partner, seq }: Extract<AppRequest, { ask: 'outbox-drop' }>,
): Promise<unknown> {
  knownType(types, parseAddress(address).type);
  const entry = await inspector.outboxMessage(address, partner, seq);
  const letter = await client.dropMessage(address, entry);
  return { status: 'dropped', letter };
}

/** Checks what came through a socket. Throws a usage error. */
export function requestOf(value: unknown): AppRequest {
  const given = (typeof value === 'object' && value !== null ? value : {}) as Readonly<Record<string, unknown>>;
  const deadline = given.deadlineMs === undefined ? {} : { deadlineMs: numberOf(given.deadlineMs) };
  switch (given.ask) {
    case 'hello':
      return { ask: 'hello' };
    case 'call': {
      const { idempotencyKey: key, input } = given;
      return {
        ask: 'call',
        address: textOf(given.address),
        operation: textOf(given.operation),
        input,
        ...deadline,
        ...(key === undefined ? {} : { idempotencyKey: textOf(key) }),
      };
    }
    case 'confirm':
    case 'cancel':
      return { ask: given.ask, hold: holdOf(given.hold), ...deadline };
    case 'dead-retry':
    case 'dead-drop':
      return { ask: given.ask, address: textOf(given.address), id: textOf(given.id) };
    case 'start-worker':
      return { ask: 'start-worker', worker: textOf(given.worker) };
    case 'outbox-drop': {
      const { ask, address, partner, seq } = given;
      return { ask, address: textOf(address), partner: textOf(partner), seq: numberOf(seq) };
    }
    default:
      throw unreadable();
  }
}

/** A hold as `call` prints it. Throws a usage error. */
export function holdOf(value: unknown): Hold {
  const { entity, operation, id } = (typeof value === 'object' && value !== null ? value : {}) as Partial<Hold>;
  if (typeof entity !== 'string' || typeof operation !== 'string' || typeof id !== 'string') {
    throw new CliError('usage', 'This is not a hold', {
      advice: `it is what call printed: '{"entity":"…","operation":"…","id":"…"}'`,
    });
  }
  parseAddress(entity);
  return { entity, operation, id };
}

function textOf(value: unknown): string {
  if (typeof value === 'string') return value;
  throw unreadable();
}

function numberOf(value: unknown): number {
  if (typeof value === 'number' && Number.isFinite(value)) return value;
  throw unreadable();
}

function unreadable(): CliError {
  return new CliError('usage', 'The running app does not understand this request', {
    advice: 'another version of Skerry started it: restart it',
  });
}
