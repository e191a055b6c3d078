/**
 * Games in memory: rooms of durability `none` that tick by themselves, while workers are drained and started and rooms pinned.
 * A room that was begun anew has no game; one that paused knows how many ticks it missed.
 */
import { connect, type RemoteCluster } from '../../runtime/connect.ts';
import { openNats } from '../../runtime/transports/nats/transport.ts';
import { Room, type RoomReport } from './app.ts';
import type { Cluster } from './cluster.ts';
import { environmentOf } from './connections.ts';
import { sleep } from './program.ts';
import { type Given, type Scenario, type Spread, scene, spread, three } from './scenario.ts';

const keys = Array.from({ length: 200 }, (_, key) => `room-${key}`);
const movesMax = 20;
/** Rooms that one pin step moves. */
const pinCount = 20;
/** After a move, ms: everything is where it belongs, and has ticked there. */
const settleMs = 1_500;
const lightLoad = { tallies: 16, loops: 8, thinkMs: 40, deadlineMs: 30_000, sendsMessages: true };

/** Rooms by their keys. */
type Rooms = ReadonlyMap<string, RoomReport & { readonly worker: string | undefined }>;

async function look(remote: RemoteCluster): Promise<Rooms> {
  const found = await Promise.all(
    keys.map(async (key) => {
      const report = await remote.entity(Room, key).report();
      return [key, { ...report, worker: remote.where(`room/${key}`).worker }] as const;
    }),
  );
  return new Map(found);
}

/** What one move cost: ticks missed by each room that moved, and of those that stayed. */
interface Cost {
  readonly moved: number[];
  readonly stayed: number[];
  readonly reset: string[];
}

function compare(before: Rooms, after: Rooms): Cost {
  const cost: Cost = { moved: [], stayed: [], reset: [] };
  for (const [key, room] of before) {
    const now = after.get(key);
    if (now === undefined || now.game !== room.game || now.ticks < room.ticks) cost.reset.push(key);
    else (now.worker === room.worker ? cost.stayed : cost.moved).push(now.missed - room.missed);
  }
  return cost;
}

/** A drain, a start or some pins, in turns; what it was. */
async function move(cluster: Cluster, remote: RemoteCluster, step: number): Promise<string> {
  const name = three[Math.floor(step / 3) % three.length] ?? '';
  if (step % 3 === 0) {
    await cluster.drain(name);
    return `drain of ${name}`;
  }
  if (step % 3 === 1) {
    await cluster.startWorker(name);
    return `start of ${name}`;
  }
  const chosen = keys.slice((step * pinCount) % keys.length).slice(0, pinCount);
  for (const key of chosen) {
    const others = three.filter((other) => other !== remote.where(`room/${key}`).worker);
    await cluster.pin(name, `room/${key}`, others[step % others.length] ?? name);
  }
  return `pins of ${chosen.length} rooms`;
}

async function play(cluster: Cluster, given: Given) {
  const transport = await openNats({ servers: cluster.nats.url, name: 'player' }, environmentOf());
  const remote = await connect({ transport, timeoutMs: 30_000 });
  try {
    await Promise.all(keys.map((key) => remote.entity(Room, key).begin({ game: `game of ${key}` })));
    await sleep(settleMs);
    const [moved, stayed, reset]: [number[], number[], string[]] = [[], [], []];
    let before = await look(remote);
    const first = before;
    for (let step = 0; step < movesMax; step++) {
      const what = await move(cluster, remote, step);
      await sleep(settleMs);
      const after = await look(remote);
      const cost = compare(before, after);
      given.say(
        `${what}: ${cost.moved.length} rooms moved, ${cost.reset.length} begun anew, missed ${most(cost.moved)}`,
      );
      moved.push(...cost.moved);
      stayed.push(...cost.stayed);
      reset.push(...cost.reset);
      before = after;
    }
    return { first, last: before, moved, stayed, reset };
  } finally {
    await remote.close();
    await transport.close();
  }
}

function most(missed: readonly number[]): string {
  return missed.length === 0 ? 'none' : `at most ${Math.max(...missed)} ticks`;
}

function ticksOf(rooms: Rooms, of: 'ticks' | 'missed'): number {
  return [...rooms.values()].reduce((sum, room) => sum + room[of], 0);
}

export const rooms: Scenario = {
  name: 'rooms',
  what: `${keys.length} rooms of durability none at 20 ticks a second, through ${movesMax} drains, starts and pins`,
  run: (given) =>
    scene('rooms', { load: lightLoad }, given, async (cluster) => {
      const { first, last, moved, stayed, reset } = await play(cluster, given);
      const measured: Record<string, number | Spread> = {
        'rooms begun anew': reset.length,
        'ticks missed by a room that moved': spread(moved),
        'ticks missed by a room that stayed': spread(stayed),
        ticks: ticksOf(last, 'ticks') - ticksOf(first, 'ticks'),
        'ticks missed': ticksOf(last, 'missed') - ticksOf(first, 'missed'),
      };
      const problems = reset.length === 0 ? [] : [`${reset.length} rooms were begun anew: ${reset.slice(0, 5).join()}`];
      return { measured, problems: moved.length === 0 ? [...problems, 'no room moved'] : problems };
    }),
};
