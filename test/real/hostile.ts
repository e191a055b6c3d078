/**
 * Hostile bytes against a live cluster whose NATS has the printed permissions: as a client, as a tool, as a worker. Beside them
 * runs the usual load, and what it was told must be what happened.
 *
 * Owns what each attacker may do without being one: a client says everything at its doors, and tries everything else; a tool
 * does not ask for what it has the right to (a drain, a pin), and a worker says nothing that would be believed rightly, since a
 * worker's login is the cluster. Whose bytes these are is `../fuzz/forge.ts`.
 */

import { readFileSync } from 'node:fs';
import { clientPartner } from '../../core/message.ts';
import { connect } from '../../runtime/connect.ts';
import { machineEnvironment } from '../../runtime/environment.ts';
import { silentLog } from '../../runtime/log.ts';
import { anyWord } from '../../runtime/transport.ts';
import { type NatsTransport, openNats } from '../../runtime/transports/nats/transport.ts';
import { decodeAdminRequest } from '../../runtime/wire/admin-messages.ts';
import { decodeFrame, encode, encodeFrame, protocol } from '../../runtime/wire/codec.ts';
import { decodeControl } from '../../runtime/wire/control-messages.ts';
import type { Envelope } from '../../runtime/wire/envelope.ts';
import { type Party, Subjects } from '../../runtime/wire/subjects.ts';
import { columnsOf, Forge, type Where } from '../fuzz/forge.ts';
import { targets } from '../fuzz/targets.ts';
import type { Cluster } from './cluster.ts';
import { accountKey, tallyKey } from './load.ts';
import { clock, sleep } from './program.ts';
import { type Given, type Scenario, scene } from './scenario.ts';

const subjects = new Subjects('main');
const attacker = 'mallory';
/** Frames between two waits for the server to have read them. */
const batch = 250;
/** Of entities that nobody else calls. */
const mine = ['tally/evil', 'account/evil', 'shelf/evil', 'desk/evil', 'nosuch/evil', 'tally/'];
/** Of the load: what only workers may say of them, must not be heard. */
const theirs = [0, 1, 2, 3].flatMap((index) => [`tally/${tallyKey(index)}`, `account/${accountKey(index)}`]);

type Role = Exclude<Party, 'gateway'> | 'worker';

interface Attacker {
  readonly role: Role;
  readonly transport: NatsTransport;
  readonly ids: readonly string[];
  readonly forge: Forge;
}

const samplesOf = (name: string) => targets.find((target) => target.name === name)?.samples ?? [];
const samples = { frame: samplesOf('frame'), signal: samplesOf('signal'), ask: samplesOf('ask') };

/** Where what comes back to this attacker would go. */
function homeOf({ role }: Attacker): string {
  return role === 'client' ? subjects.client('c1.1', attacker) : subjects.answers('c1.1');
}

/** An envelope that the door lets in as far as who sends it goes, with whatever else was forged. */
function disguised(given: Attacker, envelope: Envelope): Envelope {
  const { chance } = given.forge;
  const identity = given.role === 'client' ? attacker : chance.pick([attacker, '', 'x.y']);
  const from = clientPartner(identity, `e${chance.between(0, 30)}`);
  const now = Math.floor(clock());
  // With numbers that are none it gets no further.
  const isDated = chance.hits(0.6);
  const common = { identity, replyTo: homeOf(given), ...(isDated ? { call: chance.between(1, 1_000) } : {}) };
  if (envelope.kind === 'query') return { ...envelope, ...common, ...(isDated ? { deadline: now + 5_000 } : {}) };
  if (envelope.kind !== 'message') return envelope;
  const content = { ...envelope.content, hold: chance.hits(0.5) ? '' : `${from}.1` };
  const [session, seq] = [chance.between(1, 9), chance.between(1, 3)];
  const dated = { session, seq, floor: seq, expires: now + 5_000, sent: now, keepMs: chance.between(0, 5_000) };
  return { ...envelope, ...common, from, content, ...(isDated ? { arrival: dated } : {}) };
}

/** What only workers say, about entities of the load. */
function forged(given: Attacker, envelope: Envelope): Envelope {
  const { chance } = given.forge;
  const [to, from] = [chance.pick(theirs), chance.pick(theirs)];
  const isWorkers = envelope.kind !== 'query' && envelope.kind !== 'reply';
  return isWorkers ? { ...envelope, to, from, ...(envelope.kind === 'message' ? { replyTo: '' } : {}) } : envelope;
}

function frameFor(given: Attacker): Uint8Array {
  const { forge, role } = given;
  const { chance } = forge;
  const where: Where = {
    addresses: mine,
    partners: ['account/evil', '@mallory.e1', '#mallory.k'],
    subjects: [homeOf(given)],
    operations: ['add', 'pay', 'take', 'report', 'count'],
  };
  if (chance.hits(0.1)) return forge.random();
  if (chance.hits(0.2)) return forge.damaged(chance.pick(samples.frame), chance.pick(samples.frame));
  if (role === 'worker' || chance.hits(0.2)) return forge.hostileFrame(where);
  const one = forge.hostileEnvelope(where);
  const envelope = chance.hits(0.3) ? forged(given, one) : disguised(given, one);
  if (chance.hits(0.3)) return new Uint8Array(encode([protocol.to, 0, 0, columnsOf(envelope)]));
  try {
    return new Uint8Array(encodeFrame([envelope], { viewVersion: chance.hits(0.9) ? 0 : 2 ** 53 - 1, hops: 0 }));
  } catch {
    return forge.random();
  }
}

/** Damaged beyond what is read: of what is, this attacker has the right to some. */
function unreadable(forge: Forge, kind: 'signal' | 'ask', read: (bytes: Uint8Array) => unknown): Uint8Array {
  for (let tries = 0; tries < 10; tries++) {
    const bytes = forge.chance.hits(0.5) ? forge.damaged(forge.chance.pick(samples[kind])) : forge.msgpack(5);
    if (!isRead(bytes, read)) return bytes;
  }
  return forge.random(3);
}

function isRead(bytes: Uint8Array, read: (bytes: Uint8Array) => unknown): boolean {
  try {
    read(bytes);
    return true;
  } catch {
    return false;
  }
}

/** Whether a worker would be believed: what names the load's entities, or anybody of this cluster. */
function isBelievable(bytes: Uint8Array): boolean {
  if (!isRead(bytes, decodeFrame)) return false;
  const { envelopes, hint } = decodeFrame(bytes);
  return hint !== undefined || envelopes.some((one) => theirs.includes(one.to));
}

function shot(given: Attacker): { readonly subject: string; readonly bytes: Uint8Array } {
  const { role, forge, ids } = given;
  const { chance } = forge;
  const id = chance.pick(ids);
  if (role === 'worker') {
    const bytes = frameFor(given);
    if (chance.hits(0.6) && !isBelievable(bytes)) return { subject: subjects.worker(id), bytes };
    const places = [subjects.control(id), subjects.views, subjects.service];
    return { subject: chance.pick(places), bytes: unreadable(forge, 'signal', decodeControl) };
  }
  const word = role === 'client' ? attacker : 'c1';
  if (chance.hits(0.7)) return { subject: subjects.door(role, id, word), bytes: frameFor(given) };
  if (chance.hits(0.5)) {
    const bytes = chance.hits(0.5) ? forge.damaged(chance.pick(samples.signal)) : chance.pick(samples.signal);
    return { subject: subjects.resolve(chance.hits(0.5) ? id : undefined, word), bytes };
  }
  if (role === 'tool') return { subject: subjects.asks(id), bytes: unreadable(forge, 'ask', decodeAdminRequest) };
  // The server lets none of these through.
  const forbidden = [
    subjects.worker(id),
    subjects.control(id),
    subjects.views,
    subjects.service,
    subjects.asks(id),
    subjects.door('client', id, 'client'),
    subjects.door('gateway', id, attacker),
    subjects.door('tool', id, attacker),
    subjects.client('c1.1', 'client'),
    subjects.answers('c1'),
  ];
  return { subject: chance.pick(forbidden), bytes: chance.pick(chance.hits(0.5) ? samples.signal : samples.frame) };
}

/** Resident memory of a process, MB. */
function residentMb(pid: number): number {
  const kb = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return Math.round(Number(kb) / 1_024);
}

const shares: Readonly<Record<Role, number>> = { client: 0.6, tool: 0.25, worker: 0.15 };

async function attack(cluster: Cluster, role: Role, { frames }: { frames: number }, say: Given['say']) {
  const environment = machineEnvironment(silentLog);
  const user = role === 'client' ? attacker : role;
  const transport = await openNats({ servers: cluster.urlFor(user), name: attacker }, environment);
  const remote = await connect({ transport, environment, identity: user, as: role === 'tool' ? 'tool' : 'client' });
  const ids = remote.view.workers.map(({ id }) => id);
  const given = { role, transport, ids, forge: new Forge(`hostile ${role}`) };
  let answered = 0;
  if (role !== 'worker')
    transport.listen(homeOf(given).replace(/[^.]+$/, anyWord), () => {
      answered += 1;
    });
  const startedAt = performance.now();
  try {
    for (let sent = 0; sent < frames; sent += batch) {
      for (let count = 0; count < batch; count++) {
        const { subject, bytes } = shot(given);
        transport.send(subject, bytes);
      }
      await transport.ready().catch(() => undefined);
    }
  } finally {
    await remote.close();
    await transport.close();
  }
  const seconds = (performance.now() - startedAt) / 1_000;
  say(
    `as ${role}: ${frames} frames in ${seconds.toFixed(0)} s, ${transport.droppedCount} dropped, ${answered} answers`,
  );
}

export const hostile: Scenario = {
  name: 'hostile',
  what: 'hostile frames as client, tool and worker, with permissions on; 1,000,000 with --frames 1000000',
  run: (given) =>
    scene('hostile', { hasPermissions: true }, given, async (cluster) => {
      const frames = given.frames ?? 10_000;
      const pids = [...cluster.workers.values()].map(({ name, pid }) => ({ name, pid }));
      const before = pids.map(({ pid }) => residentMb(pid));
      let most = 0;
      const problems: string[] = [];
      for (const [role, share] of Object.entries(shares) as [Role, number][]) {
        await attack(cluster, role, { frames: Math.ceil(frames * share) }, given.say);
        const alive = pids.filter(({ name }) => cluster.worker(name).isAlive);
        for (const { pid } of alive) most = Math.max(most, residentMb(pid));
        if (alive.length < pids.length)
          problems.push(`${pids.length - alive.length} workers ended as ${role} attacked`);
      }
      await sleep(2_000);
      const after = pids.map(({ pid }) => residentMb(pid));
      const measured = {
        'hostile frames': frames,
        'MB of each worker before': before.join(', '),
        'after each attack at most': most,
        'MB of each worker after': after.join(', '),
      };
      return { measured, problems };
    }),
};
