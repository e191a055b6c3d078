/** By hand, within one process: copies the request, increments a counter in a Map, copies the answer. */
import { decode, encode } from '../../runtime/wire/codec.ts';
import type { Floor } from '../floor.ts';

export const inProcess: Floor = {
  name: 'in-process',
  summary: 'a Map in one process, request and answer copied, one promise per call',
  open: async ({ pick }) => {
    const counts = new Map<string, { count: number }>();
    const text = 'x'.repeat(32);
    const answered = async (bytes: Uint8Array): Promise<unknown> => {
      const { key } = decode(bytes) as { key: string };
      const held = counts.get(key) ?? { count: 0 };
      held.count += 1;
      counts.set(key, held);
      return decode(encode({ text, count: held.count }));
    };
    return {
      // In a later tick, together with all other calls of this one, as an application is called.
      call: (lane) => {
        const bytes = encode({ key: `key-${pick()}`, text });
        setImmediate(() => void answered(bytes).then(lane.done, lane.failed));
        return undefined;
      },
      close: async () => undefined,
    };
  },
};
