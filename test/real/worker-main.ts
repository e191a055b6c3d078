/**
 * A worker as a process: `worker-main --nats URL --store URL --name N [--version 1] [--cluster C]`.
 *
 * Says `{"ready":…}` in a line of standard output when it has committed with its own epochs, and answers a line `stats` with its
 * counts, and `pin ADDRESS WORKER` when the store has the pin. SIGTERM hands everything off and ends it; so does the end of standard input, without handing off.
 */
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { serve } from '../../runtime/serve.ts';
import { openNats } from '../../runtime/transports/nats/transport.ts';
import { versions } from './app.ts';
import { environmentOf, openStore } from './connections.ts';

const { values } = parseArgs({
  options: {
    nats: { type: 'string', default: '' },
    store: { type: 'string', default: '' },
    name: { type: 'string', default: 'w' },
    version: { type: 'string', default: '1' },
    cluster: { type: 'string', default: 'main' },
  },
});

const say = (line: object) => void process.stdout.write(`${JSON.stringify(line)}\n`);
const environment = environmentOf();
const { nats, store: url, name, version, cluster } = values;

// Whoever started it is gone: nobody is there any more to end it.
const orders = createInterface({ input: process.stdin });
orders.on('close', () => process.exit(3));

const [transport, store] = await Promise.all([openNats({ servers: nats, name }, environment), openStore(url)]);
const behaviours = versions[version] ?? [];
const worker = await serve({ behaviours, transport, store, cluster, name, version, environment });

async function end(): Promise<void> {
  const startedAt = performance.now();
  await worker.close();
  await Promise.all([transport.close(), store.close()]);
  say({ ended: Math.round(performance.now() - startedAt) });
  process.exit(0);
}

process.on('SIGTERM', () => void end());
void worker.closed.then((how) => {
  if (how === 'replaced') process.exit(4);
});
orders.on('line', (line) => {
  const [order, address = '', to = ''] = line.split(' ');
  if (order === 'pin')
    return void worker.member.pin(address, to).then(
      () => say({ pinned: address }),
      (error: unknown) => say({ pinned: String(error) }),
    );
  const { counters, worker: one, isServing } = worker.member;
  const counts = {
    partitions: one.partitions.length,
    forwarded: counters.sumOf('forwarded'),
    moved: counters.sumOf('moved'),
  };
  say({ stats: { ...counts, isServing, heapBytes: process.memoryUsage().heapUsed } });
});

await worker.ready();
say({ ready: Math.round(performance.now()), pid: process.pid });
