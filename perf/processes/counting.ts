/** Wrappers that count the calls of a store and a transport. */
import type { Commit, Store } from '../../runtime/store.ts';
import type { Transport } from '../../runtime/transport.ts';

export interface Counts {
  storeCalls: number;
  commitCalls: number;
  committedEntities: number;
  /** Bytes of the heads and records in commits, without their keys. */
  committedBytes: number;
  epochCalls: number;
  loadCalls: number;
  readCalls: number;
  scanCalls: number;
  framesOut: number;
  messagesOut: number;
  bytesOut: number;
  framesIn: number;
  messagesIn: number;
  bytesIn: number;
}

export function newCounts(): Counts {
  return {
    storeCalls: 0,
    commitCalls: 0,
    committedEntities: 0,
    committedBytes: 0,
    epochCalls: 0,
    loadCalls: 0,
    readCalls: 0,
    scanCalls: 0,
    framesOut: 0,
    messagesOut: 0,
    bytesOut: 0,
    framesIn: 0,
    messagesIn: 0,
    bytesIn: 0,
  };
}

type Asked = 'claim' | 'pin' | 'pins' | 'lease' | 'epochs' | 'load' | 'commit' | 'read' | 'scan' | 'wakes' | 'list';

export function countingStore(store: Store, counts: Counts): Store {
  const counted = <Name extends Asked>(name: Name, kind?: keyof Counts): Store[Name] => {
    const ask = store[name].bind(store) as (...given: unknown[]) => unknown;
    return ((...given: unknown[]) => {
      counts.storeCalls += 1;
      if (kind !== undefined) counts[kind] += 1;
      return ask(...given);
    }) as Store[Name];
  };
  const commit = counted('commit', 'commitCalls');
  return {
    id: store.id,
    partitions: store.partitions,
    valueBytesMax: store.valueBytesMax,
    groupsAtOnce: store.groupsAtOnce,
    onLoss: (tell) => store.onLoss(tell),
    markOf: (partition, epoch) => store.markOf(partition, epoch),
    claim: counted('claim'),
    pin: counted('pin'),
    pins: counted('pins'),
    lease: counted('lease'),
    epochs: counted('epochs', 'epochCalls'),
    load: counted('load', 'loadCalls'),
    commit: (group) => {
      countCommit(group, counts);
      return commit(group);
    },
    read: counted('read', 'readCalls'),
    scan: counted('scan', 'scanCalls'),
    wakes: counted('wakes'),
    list: counted('list'),
    close: () => store.close(),
  };
}

function countCommit(group: readonly Commit[], counts: Counts): void {
  counts.committedEntities += group.length;
  for (const { head, records } of group) {
    counts.committedBytes += head.length;
    for (const [, bytes] of records) counts.committedBytes += bytes?.length ?? 0;
  }
}

/** Envelopes go to subjects of workers and clients. Frames to all other subjects are control messages. */
const isMail = (subject: string) => /^skerry\.[^.]+\.(?:worker|client|call|gate)\./.test(subject);

/** Number of envelopes in a frame: it is an array of version, view and hops, followed by its envelopes. */
function envelopesIn(frame: Uint8Array): number {
  const [first = 0, second = 0, third = 0, fourth = 0, fifth = 0] = frame;
  if (first >>> 4 === 0x9) return (first & 0x0f) - 3;
  if (first === 0xdc) return second * 256 + third - 3;
  return first === 0xdd ? ((second * 256 + third) * 256 + fourth) * 256 + fifth - 3 : 0;
}

export function countingTransport(transport: Transport, counts: Counts): Transport {
  return {
    get frameBytesMax() {
      return transport.frameBytesMax;
    },
    listen(subject, receive) {
      if (!isMail(subject)) return transport.listen(subject, receive);
      return transport.listen(subject, (frame, sentTo) => {
        counts.framesIn += 1;
        counts.bytesIn += frame.length;
        counts.messagesIn += envelopesIn(frame);
        receive(frame, sentTo);
      });
    },
    send(subject, frame) {
      if (isMail(subject)) {
        counts.framesOut += 1;
        counts.bytesOut += frame.length;
        counts.messagesOut += envelopesIn(frame);
      }
      transport.send(subject, frame);
    },
    onAbsent: (tell) => transport.onAbsent(tell),
    onRestored: (tell) => transport.onRestored(tell),
    close: () => transport.close(),
  };
}
