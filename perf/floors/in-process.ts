/** By hand, within one process: the request is copied in, a counter in a Map goes up, the answer is copied out. */
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
      // As an application would be called: in a later tick, with everything else that is called in this one.
      call: (lane) => {
        const bytes = encode({ key: `key-${pick()}`, text });
        setImmediate(() => void answered(bytes).then(lane.done, lane.failed));
        return undefined;
      },
      close: async () => undefined,
    };
  },
};
