/**
 * The outside client as a process: `client-main --nats URL --store URL`. It loads the cluster, keeps the journal, and in the
 * end compares. Told what to do by lines of JSON, each with an `id`, and answers with a line of that `id`.
 */
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { connect } from '../../runtime/connect.ts';
import { loginOf } from '../../runtime/open.ts';
import { openNats } from '../../runtime/transports/nats/transport.ts';
import { check } from './check.ts';
import { environmentOf, openStore } from './connections.ts';
import { Journal } from './journal.ts';
import { Load, type LoadOptions } from './load.ts';
import type { Order } from './orders.ts';

const { values } = parseArgs({
  options: {
    nats: { type: 'string', default: '' },
    store: { type: 'string', default: '' },
    load: { type: 'string', default: '{}' },
  },
});

const environment = environmentOf();
const journal = new Journal();
const transport = await openNats({ servers: values.nats, name: 'client' }, environment);
const identity = loginOf({ nats: values.nats });
const cluster = await connect({ transport, environment, identity, timeoutMs: 30_000 });
const load = new Load(cluster, journal, JSON.parse(values.load) as LoadOptions);

function addressesAt(worker: string | undefined): string[] {
  return load.addresses.filter((address) => worker === undefined || cluster.where(address).worker === worker);
}

async function obey(order: Order): Promise<object> {
  switch (order.what) {
    case 'start':
      load.start();
      return {};
    case 'notices':
      load.startNotices();
      return {};
    case 'mark': {
      const addresses = addressesAt(order.worker);
      journal.mark(order.name, addresses);
      return { count: addresses.length };
    }
    case 'date':
      journal.date(order.name, order.faultAt, order.completeAt);
      return {};
    case 'recovery':
      return journal.recovery(order.name);
    case 'pauses':
      return { pauses: journal.takePauses() };
    case 'latencies':
      return { ms: journal.takeLatencies() };
    case 'counts':
      return { successes: journal.successCount, failures: journal.failureCount, failed: journal.failures };
    case 'places':
      return {
        places: Object.fromEntries(load.addresses.map((address) => [address, cluster.where(address).worker ?? ''])),
        workers: cluster.view.workers.map(({ name }) => name),
        viewVersion: cluster.view.version,
      };
    case 'stop':
      await load.stop();
      return {};
    case 'check': {
      const store = await openStore(values.store);
      try {
        return await check({ cluster, store, journal });
      } finally {
        await store.close();
      }
    }
  }
}

const orders = createInterface({ input: process.stdin });
orders.on('close', () => process.exit(0));
orders.on('line', (text) => {
  const { id, ...order } = JSON.parse(text) as Order & { id: string };
  const answer = (line: object) => void process.stdout.write(`${JSON.stringify({ [id]: line })}\n`);
  obey(order as Order).then(answer, (error: unknown) => answer({ error: String(error) }));
});
process.stdout.write(`${JSON.stringify({ ready: Math.round(performance.now()) })}\n`);
