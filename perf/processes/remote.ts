/**
 * Load generators on other machines (agents): found over NATS, hired by one measurement at a time, called like a child process.
 *
 *     coordinator ──who?──▶ all agents ──name, machine──▶ coordinator ──hire──▶ agent ◀──▶ requests and answers
 *
 * Clocks are not compared: an agent starts a fixed time after the start signal, and sends durations.
 */
import { availableParallelism, cpus, hostname, totalmem } from 'node:os';
import { setTimeout as pause } from 'node:timers/promises';
import type { Transport } from '../../runtime/transport.ts';
import { decode, encode } from '../../runtime/wire/codec.ts';
import { WorldError } from '../failure.ts';
import { Generator } from '../load/generator.ts';
import { noViewer } from '../report/progress.ts';
import type { Viewer } from '../run.ts';
import { type Line, Peer } from './process-rpc.ts';
import { ownId } from './process-setup.ts';
import type { Hand } from './processes.ts';

const agentsSubject = 'skerry-perf.agents';
const subjectOf = (id: string) => `skerry-perf.${id}`;
/** Size of one part of a message, bytes; smaller than the limit of any server. */
const partBytes = 262_144;
/** A coordinator that was silent for this time has gone, ms. */
const goneMs = 60_000;
const lookMs = 1_000;

export interface Agent {
  readonly id: string;
  readonly host: string;
  /** Its process id; several agents may run on one machine. */
  readonly pid: number;
  readonly cores: number;
  readonly cpu: string;
  readonly memoryBytes: number;
}

const nameOf = ({ host, pid }: Agent) => `agent-${host}-${pid}`;

type Call = { readonly kind: 'who' | 'hire' | 'bye'; readonly replyTo: string };
type Part = readonly [message: number, index: number, count: number, bytes: Uint8Array];

/** Sends values, split into parts that fit into frames. */
function sender(transport: Transport, subject: string): (message: unknown) => void {
  let sent = 0;
  return (message) => {
    const bytes = encode(plain(message));
    const count = Math.max(1, Math.ceil(bytes.length / partBytes));
    sent += 1;
    for (let index = 0; index < count; index++) {
      const part: Part = [sent, index, count, bytes.subarray(index * partBytes, (index + 1) * partBytes)];
      transport.send(subject, encode(part));
    }
  };
}

/** Leaves out fields that are undefined. */
const plain = (message: unknown): unknown => JSON.parse(JSON.stringify(message));

/** Joins the parts of each message; they arrive in order. */
function assembler(receive: (message: unknown) => void): (bytes: Uint8Array) => void {
  let parts: Uint8Array[] = [];
  return (bytes) => {
    const [, index, count, part] = decode(bytes) as Part;
    if (index === 0) parts = [];
    parts.push(part);
    if (index === count - 1 && parts.length === count) receive(decode(Buffer.concat(parts)));
  };
}

// ---- the agent

/** Serves measurements, one at a time, until the process ends. */
export function serveAgent(transport: Transport, said: (text: string) => void): Agent {
  const [processor] = cpus();
  const agent: Agent = {
    id: ownId(),
    host: hostname(),
    pid: process.pid,
    cores: availableParallelism(),
    cpu: processor?.model ?? 'unknown',
    memoryBytes: totalmem(),
  };
  let employer: { readonly subject: string; heardAt: number } | undefined;
  let hear: ((bytes: Uint8Array) => void) | undefined;
  const isFree = () => employer === undefined || performance.now() - employer.heardAt > goneMs;
  transport.listen(agentsSubject, (bytes) => {
    const { kind, replyTo } = decode(bytes) as Call;
    if (kind === 'who' && isFree()) transport.send(replyTo, encode(agent));
  });
  transport.listen(`${subjectOf(agent.id)}.hire`, (bytes) => {
    const { kind, replyTo } = decode(bytes) as Call;
    if (kind === 'bye') {
      if (employer?.subject !== replyTo) return;
      employer = undefined;
      return said('released');
    }
    if (!isFree()) return;
    employer = { subject: replyTo, heardAt: performance.now() };
    hear = employed(transport, agent, replyTo);
    said('hired');
  });
  transport.listen(subjectOf(agent.id), (bytes) => {
    if (employer !== undefined) employer.heardAt = performance.now();
    hear?.(bytes);
  });
  return agent;
}

/** A new generator for each measurement. Whatever the last one left open is closed. */
function employed(transport: Transport, agent: Agent, replyTo: string): (bytes: Uint8Array) => void {
  let receive: (message: unknown) => void = () => undefined;
  const line: Line = {
    send: sender(transport, replyTo),
    hear: (handler) => {
      receive = handler;
    },
    gone: new Promise(() => undefined),
  };
  new Peer(line, new Generator(nameOf(agent)).duties);
  return assembler((message) => receive(message));
}

// ---- the coordinator

export interface Hired {
  readonly hands: readonly Hand[];
  readonly machines: readonly Agent[];
  release(): Promise<void>;
}

/** The agents that answer within a second; or, if `count` is given, waits for that many. */
export async function hireAgents(
  transport: Transport,
  count: number,
  { viewer = noViewer, patienceMs = 60_000 }: { readonly viewer?: Viewer; readonly patienceMs?: number } = {},
): Promise<Hired> {
  const found = new Map<string, Agent>();
  const inbox = subjectOf(ownId());
  const close = transport.listen(inbox, (bytes) => {
    const agent = decode(bytes) as Agent;
    found.set(agent.id, agent);
  });
  const until = performance.now() + (count === 0 ? lookMs : patienceMs);
  let said: number | undefined;
  do {
    transport.send(agentsSubject, encode({ kind: 'who', replyTo: inbox } satisfies Call));
    await pause(count === 0 ? lookMs : 200);
    if (found.size >= count || found.size === said) continue;
    said = found.size;
    viewer.begins(`waiting for agents: ${said} of ${count}`, { warmupMs: 0, durationMs: 0, unit: 'agents' });
  } while (performance.now() < until && (count === 0 || found.size < count));
  close();
  viewer.ends();
  if (found.size < count)
    throw new WorldError(`${found.size} agents answered, not ${count}: start 'skerry perf agent' on each machine`);
  const machines = [...found.values()].slice(0, count === 0 ? undefined : count);
  const employments = machines.map((agent) => employ(transport, agent));
  return {
    hands: employments.map(({ hand }) => hand),
    machines,
    release: async () => {
      for (const { end } of employments) end();
    },
  };
}

function employ(transport: Transport, agent: Agent): { hand: Hand; end: () => void } {
  const inbox = subjectOf(ownId());
  const hireSubject = `${subjectOf(agent.id)}.hire`;
  let receive: (message: unknown) => void = () => undefined;
  const closers = [
    transport.listen(
      inbox,
      assembler((message) => receive(message)),
    ),
  ];
  const gone = new Promise<Error>((resolve) => {
    closers.push(
      transport.onAbsent((subject) => {
        if (subject === subjectOf(agent.id)) resolve(new WorldError(`the agent on ${agent.host} is gone`));
      }),
    );
  });
  transport.send(hireSubject, encode({ kind: 'hire', replyTo: inbox } satisfies Call));
  const line: Line = {
    send: sender(transport, subjectOf(agent.id)),
    hear: (handler) => {
      receive = handler;
    },
    gone,
  };
  const hand: Hand = {
    name: nameOf(agent),
    kind: 'generator',
    peer: new Peer(line, {}),
    kill: () => undefined,
    end: async () => undefined,
  };
  const end = () => {
    transport.send(hireSubject, encode({ kind: 'bye', replyTo: inbox } satisfies Call));
    for (const close of closers) close();
  };
  return { hand, end };
}
