/**
 * What commands ask of a running app, as plain JSON values, and how the app answers. The same code serves the control
 * socket and an app that was started for one call.
 */
import type { Behaviour } from '../../core/behaviour.ts';
import type { CallOptions, Hold } from '../../core/entity.ts';
import { isSkerryError } from '../../core/errors.ts';
import { parseAddress } from '../../core/message.ts';
import { type AnyOperation, validateInput } from '../../core/operation.ts';
import type { Cluster } from '../embed.ts';
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
  | { readonly ask: 'dead-retry' | 'dead-drop'; readonly address: string; readonly id: string };

export interface RunningApp {
  readonly cluster: Cluster;
  readonly behaviours: readonly Behaviour[];
  /** What `hello` answers beside the figures. */
  readonly about: object;
}

export interface Hello {
  readonly pid: number;
  readonly app: string;
  readonly startedAt: number;
  readonly figures: { readonly activations: number; readonly turns: number; readonly queued: number };
}

/** Throws what the call throws, and errors about types, operations and inputs that nothing was sent for. */
export async function answer(app: RunningApp, request: AppRequest): Promise<unknown> {
  switch (request.ask) {
    case 'hello':
      return { ...app.about, figures: figuresOf(app.cluster) };
    case 'call':
      return performCall(app, request);
    case 'confirm':
    case 'cancel':
      await app.cluster.client.resolve(request.hold, request.ask, deadlineOf(request.deadlineMs));
      return { status: request.ask === 'confirm' ? 'confirmed' : 'cancelled' };
    case 'dead-retry':
    case 'dead-drop':
      return resolveDead(app, request);
  }
}

export function figuresOf(cluster: Cluster): Hello['figures'] {
  const sum = { activations: 0, turns: 0, queued: 0 };
  for (const { figures } of cluster.workers) {
    sum.activations += figures.activations;
    sum.turns += figures.turns;
    sum.queued += figures.queued;
  }
  return sum;
}

function deadlineOf(deadlineMs: number | undefined): CallOptions {
  return deadlineMs === undefined ? {} : { deadlineMs };
}

async function performCall(app: RunningApp, request: Extract<AppRequest, { ask: 'call' }>): Promise<unknown> {
  const { address, operation: name, input, idempotencyKey } = request;
  const operation = operationOf(app.behaviours, address, name);
  const shown = `${addressText(address)} ${name}`;
  validateInput(operation, input, shown);
  const options = { ...deadlineOf(request.deadlineMs), ...(idempotencyKey === undefined ? {} : { idempotencyKey }) };
  try {
    const output = await app.cluster.client.invoke(address, { name, kind: operation.kind }, input, options);
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
function operationOf(behaviours: readonly Behaviour[], address: string, name: string): AnyOperation {
  const { type } = parseAddress(address);
  const { operations } = behaviourOf(behaviours, type);
  const operation = Object.hasOwn(operations, name) ? operations[name] : undefined;
  if (operation !== undefined) return operation;
  throw new CliError('unknown-operation', `'${type}' has no operation '${name}'`, {
    advice: suggestion(name, Object.keys(operations)),
  });
}

function behaviourOf(behaviours: readonly Behaviour[], type: string): Behaviour {
  const found = behaviours.find(({ contract }) => contract.type === type);
  if (found !== undefined) return found;
  throw new CliError('unknown-type', `The app has no entity type '${type}'`, {
    advice: suggestion(
      type,
      behaviours.map(({ contract }) => contract.type),
    ),
  });
}

async function resolveDead(
  { cluster, behaviours }: RunningApp,
  { ask, address, id }: Extract<AppRequest, { ask: 'dead-retry' | 'dead-drop' }>,
): Promise<unknown> {
  behaviourOf(behaviours, parseAddress(address).type);
  const letter = await cluster.inspector.deadLetter(address, id);
  await cluster.client.resolveDead(address, id, ask);
  const found = await cluster.inspector.get(address, { activityCountMax: 0 });
  if (!found?.dead.some((one) => one.id === id && one.at === letter.at))
    return { status: ask === 'dead-retry' ? 'retried' : 'dropped' };
  throw new CliError('failed', `${addressText(address)}: dead letter ${id} failed again, and stays`, {
    advice: `it failed first with: ${letter.reason}`,
  });
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
    advice: 'it was started by another version of Skerry: start it again',
  });
}
