/** `skerry where`: where an entity is: its partition, who should have it, who has it, and whether it is in memory. */
import { partitionOf } from '../../../placement/hash.ts';
import { type EntityPlace, readPlace } from '../../admin/worker-report.ts';
import { type LiveCluster, withCluster } from '../cluster-connection.ts';
import type { Command, Given } from '../command.ts';
import { addressArgument, addressText } from '../escape.ts';
import { clusterOptions, requireCluster } from '../target.ts';

export const where: Command = {
  name: 'where',
  parameters: '<type/key>',
  summary: 'show where an entity is: partition, owner, epoch, in memory or not',
  options: clusterOptions,
  notes: [
    'The view says which worker should own the partition, and the store which worker does. They differ while the partition moves. With --json: {"address","partition","home","pin","worker","owner","epoch","isActive"}.',
  ],
  examples: ['skerry where stock/tea', 'skerry where game/42 --json | jq -r .owner'],
  run: showPlace,
};

async function showPlace(given: Given): Promise<number> {
  const { output } = given;
  const address = addressArgument(given.args[0] ?? '');
  return withCluster(given, requireCluster(given), async (cluster) => {
    const found = await placeOf(cluster, address);
    if (output.isJson) {
      output.json(found);
      return 0;
    }
    const { partition, home, pin, worker, owner, epoch, isActive } = found;
    output.line(output.style('bold', addressText(address)));
    const why = pin === null ? '' : `, pinned to ${pin}`;
    const rows = [
      ['partition', `${partition}${partition === home ? '' : ` (kept in ${home})`}${why}`],
      ['by the view', worker ?? 'no worker can host it'],
      [
        'in the store',
        owner === null
          ? epoch === 0
            ? 'nobody yet'
            : `no owner: epoch ${epoch} is to be claimed`
          : `${owner}, epoch ${epoch}`,
      ],
      ['in memory', isActive ? 'yes' : 'no'],
    ];
    for (const [name = '', value] of rows) output.line(`  ${output.style('dim', name.padEnd(12))}  ${value}`);
    return 0;
  });
}

interface Place {
  readonly address: string;
  readonly partition: number;
  /** The partition that it is kept in. */
  readonly home: number;
  /** The worker that it is pinned to. */
  readonly pin: string | null;
  /** By the view. */
  readonly worker: string | null;
  /** Who has the store's present epoch of its partition, of those that answer. */
  readonly owner: string | null;
  readonly epoch: number;
  /** In the memory of its owner. */
  readonly isActive: boolean;
}

async function placeOf(cluster: LiveCluster, address: string): Promise<Place> {
  const { view } = cluster;
  const { partition, worker } = cluster.where(address);
  const [epoch = 0] = await cluster.store.epochs([partition]);
  const places = await Promise.all(
    view.workers.map(async (entry) => {
      const answered = await cluster.request(entry, { kind: 'entity', address });
      return { name: entry.name, place: answered.status === 'answered' ? readPlace(answered.value) : undefined };
    }),
  );
  const isOwner = (place: EntityPlace | undefined) => place?.partition === partition && place.epoch === epoch;
  const owner = places.find(({ place }) => isOwner(place));
  return {
    address,
    partition,
    home: partitionOf(address, view.partitions),
    pin: view.pins.find((pin) => pin.address === address)?.worker ?? null,
    worker: worker ?? null,
    owner: owner?.name ?? null,
    epoch,
    isActive: owner?.place?.isActive === true,
  };
}
