/**
 * Bare NATS, to a process that echoes what it receives: by `request()`; with one inbox for all requests; and in frames of up
 * to 32 envelopes both ways. It connects and logs in like the cluster's transport.
 */
import { SkerryError } from '../../core/errors.ts';
import { machineEnvironment } from '../../runtime/environment.ts';
import { standardLog } from '../../runtime/log.ts';
import { dial, type Msg, type NatsConnection } from '../../runtime/transports/nats/connection.ts';
import { planOf } from '../../runtime/transports/nats/options.ts';
import { ServerRing } from '../../runtime/transports/nats/servers.ts';
import type { Floor, FloorGiven } from '../floor.ts';
import type { Lane } from '../load/load.ts';
import type { Site } from '../plan.ts';

/** Size of the envelope of a small call. */
const envelopeBytes = 100;
const framedMax = 32;

/** Connects to the first server in the URL that accepts the login. */
export async function natsOf({ natsUrl }: Pick<Site, 'natsUrl'>): Promise<NatsConnection> {
  if (natsUrl === undefined) throw new Error('this floor needs NATS');
  const plan = planOf({ servers: natsUrl, name: 'skerry-perf-floor' });
  const environment = machineEnvironment(standardLog('error'));
  const ring = new ServerRing(plan.servers, environment.random());
  let failure: unknown = new SkerryError('transport-failed', 'no server of NATS is named');
  for (let tries = ring.size; tries > 0; tries--)
    try {
      // The library's default, with a stack trace per request, which few applications turn off.
      return await dial(plan, ring, environment, { noAsyncTraces: false });
    } catch (error) {
      failure = error;
    }
  throw failure;
}

const subjectOf = ({ cluster }: Site, name: string) => `floor.${cluster}.${name}`;

/** An envelope names the lane that waits for it. */
function envelopeOf(lane: number): Buffer {
  const envelope = Buffer.alloc(envelopeBytes);
  envelope.writeUInt32LE(lane);
  return envelope;
}

async function echoing(site: Site, name: string, answer: (data: Uint8Array) => Uint8Array) {
  const nats = await natsOf(site);
  nats.subscribe(subjectOf(site, name), {
    callback: (_error, { reply, data }: Msg) => {
      if (reply !== undefined) nats.publish(reply, answer(data));
    },
  });
  await nats.flush();
  return () => nats.close();
}

export const natsRequest: Floor = {
  name: 'nats-request',
  summary: "bare NATS round trips by the client's request()",
  respond: (site) => echoing(site, 'request', (data) => new Uint8Array(data)),
  open: async ({ site }) => {
    const nats = await natsOf(site);
    const subject = subjectOf(site, 'request');
    return {
      call: ({ index }) => nats.request(subject, envelopeOf(index), { timeout: 60_000 }),
      close: () => nats.close(),
    };
  },
};

/** An inbox, and the lanes that wait for its messages. */
async function inboxOf({ site }: FloorGiven, name: string, receive: (data: Uint8Array) => void) {
  const nats = await natsOf(site);
  const inbox = `${subjectOf(site, name)}.inbox`;
  nats.subscribe(inbox, { callback: (_error, { data }: Msg) => receive(data) });
  await nats.flush();
  const send = (bytes: Uint8Array) => nats.publish(subjectOf(site, name), bytes, { reply: inbox });
  return { send, close: () => nats.close() };
}

const laneAt = (data: Uint8Array, at: number) => Buffer.from(data.buffer, data.byteOffset).readUInt32LE(at);

export const natsEcho: Floor = {
  name: 'nats-echo',
  summary: 'bare NATS round trips, one inbox, a message each',
  respond: (site) => echoing(site, 'echo', (data) => new Uint8Array(data)),
  open: async (given) => {
    const waiting: Lane[] = [];
    const { send, close } = await inboxOf(given, 'echo', (data) => waiting[laneAt(data, 0)]?.done());
    return {
      call: (lane) => {
        waiting[lane.index] = lane;
        send(envelopeOf(lane.index));
        return undefined;
      },
      close,
    };
  },
};

export const natsFrames: Floor = {
  name: 'nats-frames',
  summary: `bare NATS round trips, up to ${framedMax} envelopes in a frame both ways`,
  respond: (site) => echoing(site, 'frames', answered),
  open: async (given) => {
    const waiting: Lane[] = [];
    const { send, close } = await inboxOf(given, 'frames', (data) => {
      for (let at = 0; at < data.length; at += envelopeBytes) waiting[laneAt(data, at)]?.done();
    });
    let gathered: Buffer[] = [];
    const flush = () => {
      for (let from = 0; from < gathered.length; from += framedMax)
        send(Buffer.concat(gathered.slice(from, from + framedMax)));
      gathered = [];
    };
    return {
      call: (lane) => {
        waiting[lane.index] = lane;
        if (gathered.length === 0) queueMicrotask(flush);
        gathered.push(envelopeOf(lane.index));
        return undefined;
      },
      close,
    };
  },
};

/** Answers each envelope separately, since each call has its own answer. */
function answered(frame: Uint8Array): Uint8Array {
  const answers: Uint8Array[] = [];
  for (let at = 0; at < frame.length; at += envelopeBytes) answers.push(frame.subarray(at, at + envelopeBytes));
  return Buffer.concat(answers);
}
