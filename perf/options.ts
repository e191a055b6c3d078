/** Parses the command line into a plan. The error for an unknown word or value lists the possible ones. */
import { parseArgs } from 'node:util';
import type { Fault, NatsChoice, Plan, StoreChoice } from './plan.ts';
import type { Scenario } from './scenario.ts';
import { scenarios } from './scenarios/all.ts';

export class UsageError extends Error {}

export interface Asked {
  readonly plan: Plan;
  readonly files: { readonly json?: string; readonly html?: string; readonly svg?: string; readonly hdr?: string };
  readonly isQuiet: boolean;
}

const flags = {
  workers: { type: 'string' },
  clients: { type: 'string' },
  connections: { type: 'string' },
  together: { type: 'boolean' },
  concurrency: { type: 'string' },
  rate: { type: 'string' },
  duration: { type: 'string' },
  warmup: { type: 'string' },
  repeats: { type: 'string' },
  keys: { type: 'string' },
  skew: { type: 'string' },
  store: { type: 'string' },
  nats: { type: 'string' },
  faults: { type: 'string' },
  floors: { type: 'string' },
  'floor-duration': { type: 'string' },
  'state-bytes': { type: 'string' },
  partners: { type: 'string' },
  attach: { type: 'boolean' },
  cluster: { type: 'string' },
  agents: { type: 'string' },
  'cpu-prof': { type: 'string' },
  json: { type: 'string' },
  html: { type: 'string' },
  svg: { type: 'string' },
  hdr: { type: 'string' },
  quiet: { type: 'boolean' },
} as const;

type Values = { [Name in keyof typeof flags]?: (typeof flags)[Name]['type'] extends 'boolean' ? boolean : string };

const basis: Omit<Plan, 'scenario'> = {
  workers: 1,
  isTogether: false,
  clients: 1,
  connections: 1,
  concurrency: 1_024,
  warmupMs: 2_000,
  durationMs: 10_000,
  floorMs: 3_000,
  repeats: 5,
  keys: 10_000,
  skew: 0,
  store: { kind: 'memory' },
  nats: { kind: 'embedded' },
  faults: [],
  floors: 'all',
  attach: false,
  cluster: 'perf',
  agents: 0,
  stateBytes: 0,
  partners: 0,
};

export function askedOf(words: readonly string[]): Asked {
  const { values, positionals } = parsed(words);
  const name = positionals[0] ?? '';
  const scenario = scenarios.find((one) => one.name === name);
  if (scenario === undefined || positionals.length > 1)
    throw new UsageError(
      `there is no scenario '${positionals.join(' ')}'; there are ${scenarios.map((one) => one.name).join(', ')}`,
    );
  const given = givenBy(values);
  // With a store that several processes share, the default is to connect them over NATS.
  const nats: Partial<Plan> = given.store?.kind === 'redis' ? { nats: { kind: 'own' } } : {};
  const cluster = given.attach === true ? { cluster: 'main' } : {};
  const made = withTimes({ ...basis, scenario: name, ...nats, ...cluster, ...scenario.defaults, ...given }, given);
  const faults = given.faults ?? scenario.faults?.(made.durationMs) ?? made.faults;
  const plan = { ...made, faults };
  check(plan);
  checkFor(scenario, plan);
  checkGiven(scenario, given);
  const files = Object.fromEntries(
    (['json', 'html', 'svg', 'hdr'] as const).flatMap((file) => {
      const path = values[file];
      return path === undefined ? [] : [[file, path]];
    }),
  );
  return { plan, files, isQuiet: values.quiet ?? false };
}

/** The address at which an agent waits for measurements. */
export function agentUrlOf(words: readonly string[]): string {
  const { values, positionals } = parsed(words);
  if (values.nats === undefined || positionals.length > 0)
    throw new UsageError(
      'an agent needs the NATS server of the measurement: skerry perf agent --nats nats://host:4222',
    );
  const nats = natsOf(values.nats);
  if (nats.kind !== 'at') throw new UsageError('an agent needs the address of a NATS server: --nats nats://host:4222');
  return nats.url;
}

function parsed(words: readonly string[]): { values: Values; positionals: string[] } {
  try {
    return parseArgs({ args: [...words], allowPositionals: true, options: flags });
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

function givenBy(values: Values): Partial<Plan> {
  return onlyGiven({
    workers: counted('workers', values.workers, 1),
    isTogether: values.together,
    clients: counted('clients', values.clients, 1),
    connections: counted('connections', values.connections, 1),
    concurrency: counted('concurrency', values.concurrency, 1),
    ...rateOf(values.rate),
    durationMs: span('duration', values.duration, 1),
    warmupMs: span('warmup', values.warmup),
    floorMs: span('floor-duration', values['floor-duration'], 1),
    repeats: counted('repeats', values.repeats, 1),
    keys: counted('keys', values.keys, 1),
    skew: values.skew === undefined ? undefined : skewOf(values.skew),
    store: values.store === undefined ? undefined : storeOf(values.store),
    nats: values.nats === undefined ? undefined : natsOf(values.nats),
    faults: values.faults === undefined ? undefined : faultsOf(values.faults),
    floors: values.floors === undefined ? undefined : floorsOf(values.floors),
    attach: values.attach,
    cluster: values.cluster,
    agents: counted('agents', values.agents),
    stateBytes: counted('state-bytes', values['state-bytes']),
    partners: counted('partners', values.partners),
    profileFolder: values['cpu-prof'],
  });
}

function onlyGiven(values: { [Name in keyof Plan]?: Plan[Name] | undefined }): Partial<Plan> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as Partial<Plan>;
}

/** A run shorter than the default limits the default warm-up and floors to its own duration. */
function withTimes(plan: Plan, given: Partial<Plan>): Plan {
  const atMost = (name: 'floorMs' | 'warmupMs') =>
    given[name] !== undefined || given.durationMs === undefined ? plan[name] : Math.min(plan[name], given.durationMs);
  // The scenario's own faults are cut to those that fit. If none fits they all stay, and `check` rejects the plan.
  const own = plan.faults.filter(({ atMs }) => atMs < plan.durationMs);
  const faults = given.faults !== undefined || own.length === 0 ? plan.faults : own;
  return { ...plan, faults, floorMs: atMost('floorMs'), warmupMs: atMost('warmupMs') };
}

function check(plan: Plan): void {
  const { nats, store, workers, attach, agents, faults, durationMs, scenario, concurrency, clients, isTogether } = plan;
  if (nats.kind !== 'embedded' && store.kind !== 'redis' && workers > 1 && !attach && !isTogether)
    throw new UsageError(
      `several worker processes cannot share the store '${store.kind}': use --store redis, or --together`,
    );
  if (attach && nats.kind !== 'at')
    throw new UsageError('--attach needs the address of a NATS server: --nats nats://host:4222');
  if (agents > 0 && nats.kind !== 'at')
    throw new UsageError('--agents needs the address of a NATS server: --nats nats://host:4222');
  if (attach && faults.length > 0)
    throw new UsageError('--faults works only on workers that this run started: leave out --attach');
  if (faults.some(({ kind }) => kind !== 'stall') && workers < 2)
    throw new UsageError('a fault needs a second worker that takes over: --workers 2');
  checkPlace(plan);
  const late = faults.find(({ atMs }) => atMs >= durationMs);
  if (late !== undefined)
    throw new UsageError(
      `${late.kind}@${late.atMs / 1_000}s comes after the end of the run: use a longer --duration or earlier --faults`,
    );
  if (scenario === 'idle' && nats.kind !== 'embedded')
    throw new UsageError('idle measures the memory of its own process: use --nats embedded');
  if (concurrency < clients)
    throw new UsageError('each client has at least one call in flight: --concurrency must not be below --clients');
}

/** Which faults are possible on which testbed. */
function checkPlace({ nats, faults, isTogether, storePerS, store, connections }: Plan): void {
  const isOf = (...kinds: Fault['kind'][]) => faults.some(({ kind }) => kinds.includes(kind));
  if (isTogether && isOf('kill', 'move'))
    throw new UsageError('kill and move need a process for each worker: leave out --together');
  if (nats.kind !== 'embedded' && !isTogether && isOf('drain'))
    throw new UsageError('drain needs workers that share a process: use --together');
  if (isOf('stall') && storePerS === undefined)
    throw new UsageError('stall is a fault of the scenario overload, whose store has a limited rate');
  if (storePerS !== undefined && store.kind !== 'memory')
    throw new UsageError('overload uses a store of its own, with a limited rate: leave out --store');
  if (connections > 1 && nats.kind === 'embedded')
    throw new UsageError('an embedded cluster has one client: --connections needs --nats own or nats://…');
}

/** Rejects options that would have no effect. */
function checkGiven({ name }: Scenario, { attach, workers, store, keys }: Partial<Plan>): void {
  if (keys !== undefined && name === 'hot')
    throw new UsageError('hot calls a single entity: for --keys use the scenario counter');
  if (keys !== undefined && name === 'activate')
    throw new UsageError('activate calls each entity once: --duration decides their number, not --keys');
  if (attach !== true) return;
  if (workers !== undefined)
    throw new UsageError('--attach measures the workers of the running cluster: leave out --workers');
  if (store !== undefined && !('url' in store && store.url !== undefined))
    throw new UsageError(
      '--attach measures the store of the running cluster; only its floors need --store, as redis://…',
    );
}

function checkFor({ name, isOnce }: Scenario, plan: Plan): void {
  const { ratePart, ratePerS, partners, keys, stateBytes, attach } = plan;
  if (ratePart !== undefined && isOnce === true)
    throw new UsageError(`${name} has no measurable maximum: --rate must be a number of calls per second`);
  if (stateBytes > 0 && !['counter', 'hot', 'growth'].includes(name))
    throw new UsageError(
      `--state-bytes is an option of counter, hot and growth: the states of ${name} have a fixed size`,
    );
  if (partners > 0 && name !== 'growth') throw new UsageError('--partners is an option of growth');
  if (name !== 'growth') return;
  if (attach) throw new UsageError('growth restarts its workers, so it cannot measure those of --attach');
  if (ratePerS !== undefined)
    throw new UsageError('growth measures the cost of a turn: use --concurrency instead of --rate');
  if (Math.min(partners, keys, stateBytes) < 1)
    throw new UsageError('growth needs --partners, --keys and --state-bytes of at least 1');
}

function counted(flag: string, text: string | undefined, least = 0): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text.replaceAll(/[_,]/g, ''));
  if (!Number.isSafeInteger(value) || value < least)
    throw new UsageError(`--${flag} takes a whole number${least > 0 ? ` of at least ${least}` : ''}, not '${text}'`);
  return value;
}

/** Calls per second, or a share of the maximum that a closed loop reaches. */
function rateOf(text: string | undefined): { ratePerS?: number | undefined; ratePart?: number } {
  const [, percent] = /^(\d+(?:\.\d+)?)%$/.exec(text ?? '') ?? [];
  if (percent === undefined && !text?.includes('%')) return { ratePerS: counted('rate', text, 1) };
  if (percent === undefined || Number(percent) === 0)
    throw new UsageError(
      `--rate takes a whole number of calls per second, or a share of the maximum such as 70%, not '${text}'`,
    );
  return { ratePart: Number(percent) / 100 };
}

const units: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000 };

function span(flag: string, text: string | undefined, leastMs = 0): number | undefined {
  const ms = text === undefined ? undefined : spanOf(flag, text);
  if (ms !== undefined && ms < leastMs) throw new UsageError(`--${flag} takes a positive time, not '${text}'`);
  return ms;
}

function spanOf(flag: string, text: string): number {
  const [, count, unit = 's'] = /^(\d+(?:\.\d+)?)(ms|s|m)?$/.exec(text) ?? [];
  if (count === undefined) throw new UsageError(`--${flag} takes a time such as 500ms, 30s or 2m, not '${text}'`);
  return Number(count) * (units[unit] ?? 1);
}

function skewOf(text: string): number {
  const [, theta] = /^zipf:(\d+(?:\.\d+)?)$/.exec(text) ?? [];
  if (text === 'none' || text === 'uniform') return 0;
  if (theta === undefined) throw new UsageError(`--skew takes zipf:0.99 or uniform, not '${text}'`);
  return Number(theta);
}

function storeOf(text: string): StoreChoice {
  if (text === 'memory') return { kind: 'memory' };
  if (text === 'lmdb') return { kind: 'lmdb' };
  if (text.startsWith('lmdb:')) return { kind: 'lmdb', folder: text.slice('lmdb:'.length) };
  if (text === 'redis') return { kind: 'redis' };
  if (/^rediss?:\/\//.test(text)) return { kind: 'redis', url: text };
  throw new UsageError(`--store takes memory, lmdb, lmdb:FOLDER, redis or redis://…, not '${text}'`);
}

function natsOf(text: string): NatsChoice {
  if (text === 'embedded' || text === 'own') return { kind: text };
  if (/^(?:nats|tls):\/\//.test(text)) return { kind: 'at', url: text };
  throw new UsageError(`--nats takes embedded, own or nats://…, not '${text}'`);
}

function floorsOf(text: string): Plan['floors'] {
  if (text === 'all' || text === 'main' || text === 'none') return text;
  throw new UsageError(`--floors takes all, main or none, not '${text}'`);
}

function faultsOf(text: string): Fault[] {
  const faults = text.split(',').map((part) => {
    const [, kind, at] = /^(kill|move|drain)@(.+)$/.exec(part) ?? [];
    if (kind === undefined || at === undefined) throw new UsageError(`--faults takes kill@10s,move@15s, not '${part}'`);
    return { kind: kind as Fault['kind'], atMs: spanOf('faults', at) };
  });
  return faults.sort((one, other) => one.atMs - other.atMs);
}
