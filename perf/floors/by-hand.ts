/**
 * By hand: a durable counter written without Skerry. Requests over a NATS queue group; one Lua script per request
 * looks up the idempotency key, increments, and keeps the reply. Called by `request()`, and with one inbox for all requests.
 */

import type { Floor } from '../floor.ts';
import type { Lane } from '../load/load.ts';
import type { Site } from '../plan.ts';
import { natsOf } from './nats-echo.ts';
import { redisOf } from './redis-commit.ts';

const keptS = 60;

const script = `
local known = redis.call('GET', KEYS[1])
if known then return known end
local total = tostring(redis.call('INCRBY', KEYS[2], ARGV[1]))
redis.call('SET', KEYS[1], total, 'EX', ARGV[2])
return total`;

interface Request {
  readonly lane: number;
  readonly id: string;
  readonly key: number;
  readonly by: number;
}

async function respond(site: Site): Promise<() => Promise<void>> {
  const { redis, prefix } = redisOf({ site });
  const sha = (await redis.script('LOAD', script)) as string;
  const nats = await natsOf(site);
  const perform = async ({ data, reply }: { readonly data: Uint8Array; readonly reply?: string }): Promise<void> => {
    const { lane, id, key, by } = JSON.parse(Buffer.from(data).toString()) as Request;
    const words = [`${prefix}:idempotency:${id}`, `${prefix}:counter:${key}`, String(by), String(keptS)];
    const total = await redis.evalsha(sha, 2, ...words);
    if (reply !== undefined) nats.publish(reply, JSON.stringify({ lane, total }));
  };
  nats.subscribe(subjectOf(site), { queue: 'counters', callback: (_error, message) => void perform(message) });
  await nats.flush();
  return async () => {
    await nats.close();
    await redis.quit();
  };
}

const subjectOf = ({ cluster }: Site) => `floor.${cluster}.by-hand`;

function requestOf(lane: Lane, count: number, run: string): string {
  const request: Request = { lane: lane.index, id: `${run}-${count}`, key: lane.key, by: 1 };
  return JSON.stringify(request);
}

export const byHand: Floor = {
  name: 'by-hand',
  summary: 'a queue group and one Lua script per request (idempotency key, increment, kept reply), called by request()',
  respond,
  open: async ({ site, pick, work }) => {
    const nats = await natsOf(site);
    let count = 0;
    return {
      call: (lane) => {
        lane.key = pick();
        return nats.request(subjectOf(site), requestOf(lane, count++, work.run), { timeout: 60_000 });
      },
      close: () => nats.close(),
    };
  },
};

export const byHandInbox: Floor = {
  name: 'by-hand-inbox',
  summary: 'the same, called with one inbox of our own',
  respond,
  open: async ({ site, pick, work }) => {
    const nats = await natsOf(site);
    const inbox = `${subjectOf(site)}.inbox`;
    const waiting: Lane[] = [];
    nats.subscribe(inbox, {
      callback: (_error, { data }) =>
        waiting[(JSON.parse(Buffer.from(data).toString()) as { lane: number }).lane]?.done(),
    });
    await nats.flush();
    let count = 0;
    return {
      call: (lane) => {
        lane.key = pick();
        waiting[lane.index] = lane;
        nats.publish(subjectOf(site), requestOf(lane, count++, `${work.run}i`), { reply: inbox });
        return undefined;
      },
      close: () => nats.close(),
    };
  },
};
