/** Each transport against the conformance suite. */
import { MemoryTransport } from '../../runtime/transports/memory.ts';
import { transportSuite } from '../conformance/transport.ts';
import { HandEnvironment } from '../support/hand.ts';

transportSuite('memory', async () => {
  const hand = new HandEnvironment();
  const transport = new MemoryTransport(hand, { frameBytesMax: 10_000 });
  return { transport, other: transport, settled: () => hand.idle(), close: () => transport.close() };
});
