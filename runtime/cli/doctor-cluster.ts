/** The checks of `doctor` on a live cluster: its connection, its workers and their clocks, and the owners of its partitions. */
import { Placement } from '../../placement/placement.ts';
import { isOpenToAll, type LiveCluster, type LiveWorker, withCluster } from './cluster-connection.ts';
import type { Given } from './command.ts';
import { contents } from './doctor-contents.ts';
import { failureOf } from './failure.ts';
import { type Finding, nodeVersion, note, ok, plural, wrong } from './finding.ts';
import { aheadText, clocksOf, partitionsOf, splitsOf, stateOf, versionText } from './owners.ts';
import type { ClusterPlace } from './target.ts';

/** What is moving gets this long to arrive, ms. */
const settleMs = 1_000;
const settleTries = 5;

export async function* clusterFindings(given: Given, place: ClusterPlace): AsyncIterable<Finding> {
  yield nodeVersion();
  let found: Finding[];
  try {
    found = await withCluster(given, place, (cluster) => look(given, cluster));
  } catch (error) {
    yield wrong('cluster', failureOf(error).message);
    return;
  }
  yield* found;
}

async function look(given: Given, cluster: LiveCluster): Promise<Finding[]> {
  const { place, view } = cluster;
  const found = [
    ok(
      'cluster',
      `${place.cluster} on ${place.shown}, view ${versionText(view)}, ${plural(view.pins.length, 'pin', 'pins')}`,
      {
        version: view.version,
        pins: view.pins.length,
      },
    ),
  ];
  const workers = await settled(cluster);
  found.push(
    ...workersFindings(workers),
    networkFinding(workers),
    permissionsFinding(await isOpenToAll(place)),
    serviceFinding(workers),
    clocksFinding(workers),
    viewsFinding(workers),
  );
  if (workers.every(({ report }) => report === undefined)) return found;
  found.push(await partitionsFinding(cluster, workers));
  const sight = { store: cluster.store, inspector: cluster.inspector, remembered: [] };
  found.push(...(await contents(given, sight, { isRunning: true, versionOf: await cluster.versions() })));
  return found;
}

/** Reports of all workers, when nothing moves, or after a while. */
async function settled(cluster: LiveCluster): Promise<LiveWorker[]> {
  for (let tries = 1; ; tries++) {
    const workers = await cluster.reports();
    const isQuiet = workers.every((worker) => stateOf(worker) === 'ready');
    if (isQuiet || tries >= settleTries) return workers;
    await cluster.pause(settleMs);
  }
}

function workersFindings(workers: readonly LiveWorker[]): Finding[] {
  const namesOf = (state: string) =>
    workers.filter((worker) => stateOf(worker) === state).map(({ entry }) => entry.name);
  const [ready, joining, leaving, silent] = ['ready', 'joining', 'leaving', 'silent'].map(namesOf);
  const figures = { ready, joining, leaving, silent };
  const parts = Object.entries(figures).flatMap(([state, names = []]) =>
    names.length === 0 ? [] : [`${names.length} ${state}${state === 'ready' ? '' : ` (${names.join(', ')})`}`],
  );
  const text = parts.join(', ');
  const versions = new Set(workers.map(({ entry }) => entry.version));
  const found = [];
  if (workers.length === 0) found.push(wrong('workers', 'none: start one with skerry worker', figures));
  else if ((silent ?? []).length > 0)
    found.push(wrong('workers', `${text}: a silent worker hangs or is cut off`, figures));
  else
    found.push(
      (joining ?? []).length + (leaving ?? []).length > 0
        ? note('workers', text, figures)
        : ok('workers', text, figures),
    );
  if (versions.size > 1)
    found.push(
      note('versions', `${versions.size} side by side: ${[...versions].map((one) => one || '(none)').join(', ')}`),
    );
  return found;
}

/** Workers that reach the store and not each other. */
function networkFinding(workers: readonly LiveWorker[]): Finding {
  const splits = splitsOf(workers);
  if (splits.length === 0) return ok('network', 'no worker is known to be cut off');
  return wrong('network', `the cluster is split: ${splits.join('; ')}: check the routes between the NATS servers`, {
    splits,
  });
}

function permissionsFinding(isOpen: boolean): Finding {
  if (!isOpen) return ok('permissions', 'NATS denies this login the subjects of workers', { isOpen });
  const why = 'NATS has no permissions (skerry permissions prints them), or this is a worker’s login';
  return note('permissions', `this login has the rights of a worker: ${why}`, { isOpen });
}

function serviceFinding(workers: readonly LiveWorker[]): Finding {
  const names = workers.filter(({ report }) => report?.isServing === true).map(({ entry }) => entry.name);
  if (names.length === 1) return ok('service', `placement runs on ${names[0]}`, { names });
  if (names.length > 1)
    return note('service', `${names.join(' and ')} both believe that they run placement: this lasts only a moment`, {
      names,
    });
  return wrong(
    'service',
    'no worker runs placement: until one does, no partitions are reassigned when workers join or crash',
    {
      names,
    },
  );
}

/** Clocks that differ by more than the limit void promises: what is too old is judged by them. */
function clocksFinding(workers: readonly LiveWorker[]): Finding {
  const { aheadMs, skewMs, hereMs, skewMaxMs } = clocksOf(workers);
  const named = workers.map(({ entry }) => [entry.name, aheadMs.get(entry.id) ?? 0] as const);
  const figures = { skewMs, hereMs, skewMaxMs, aheadMs: Object.fromEntries(named) };
  const isFar = (ms: number) => Math.abs(ms) > skewMaxMs / 2;
  const far = named.filter(([, ms]) => isFar(ms)).map(([name, ms]) => `${name} ${aheadText(ms)}`);
  const here = isFar(hereMs) ? `; this machine ${aheadText(hereMs)}` : '';
  const whose = `${far.length === 0 ? '' : ` (${far.join(', ')})`}${here}`;
  if (skewMs > skewMaxMs)
    return wrong(
      'clocks',
      `workers differ by ${skewMs} ms${whose}, more than skewMaxMs (${skewMaxMs}): synchronise them now`,
      figures,
    );
  if (skewMs > skewMaxMs / 2 || here !== '')
    return note('clocks', `workers differ by ${skewMs} ms${whose}; at most ${skewMaxMs} are allowed`, figures);
  return ok('clocks', `within ${skewMs} ms of each other`, figures);
}

function viewsFinding(workers: readonly LiveWorker[]): Finding {
  const versions = workers.flatMap(({ report }) => (report === undefined ? [] : [report.viewVersion]));
  const isOne = new Set(versions).size <= 1;
  return isOne
    ? ok('views', 'all workers follow the same view')
    : note('views', 'workers follow different views: this lasts only a moment', { versions });
}

async function partitionsFinding(cluster: LiveCluster, workers: readonly LiveWorker[]): Promise<Finding> {
  const partitions = await partitionsOf(cluster, new Placement(cluster.view), workers);
  const homeless = partitions.filter(({ worker }) => worker === undefined);
  const elsewhere = partitions.filter(({ worker, owner }) => worker !== undefined && worker !== owner);
  const figures = { count: partitions.length, homeless: homeless.length, elsewhere: elsewhere.length };
  const count = plural(partitions.length, 'partition', 'partitions');
  if (homeless.length > 0)
    return wrong(
      'partitions',
      `${homeless.length} of ${count} have no worker that can host them: check the labels`,
      figures,
    );
  if (elsewhere.length > 0)
    return note(
      'partitions',
      `${elsewhere.length} of ${count} are moving, or will be claimed at their next use`,
      figures,
    );
  return ok('partitions', `${count}, each owned as the view says`, figures);
}
