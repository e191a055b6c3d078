/** NATS against the conformance suite of transports, on a server of its own. */

import { machineEnvironment } from '../../runtime/environment.ts';
import { silentLog } from '../../runtime/log.ts';
import { openNats } from '../../runtime/transports/nats/transport.ts';
import { transportSuite } from '../conformance/transport.ts';
import { NatsServer } from '../support/nats-server.ts';

const server = await NatsServer.start();
const environment = machineEnvironment(silentLog);

transportSuite('nats', async () => {
  const options = { servers: server.url, askEveryMs: 0 };
  const [transport, other] = [await openNats(options, environment), await openNats(options, environment)];
  return {
    transport,
    other,
    // Each answer comes after everything that its connection had sent, and after everything that it was sent until then.
    settled: async () => {
      for (const end of [transport, other, transport, other]) await end.ready().catch(() => undefined);
    },
    close: async () => {
      await transport.close();
      await other.close();
    },
  };
});
