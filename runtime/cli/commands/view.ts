/** `skerry view`: which workers there are, what each of them has, and what is moving. */
import { Placement } from '../../../placement/placement.ts';
import type { Pin, View } from '../../../placement/view.ts';
import { type LiveCluster, type LiveWorker, withCluster } from '../cluster-connection.ts';
import type { Command, Given } from '../command.ts';
import { addressText, visible } from '../escape.ts';
import type { Output, Style } from '../output.ts';
import {
  aheadText,
  clocksOf,
  type Handoff,
  handoffsOf,
  type OwnedPartition,
  partitionsOf,
  type State,
  splitsOf,
  stateOf,
  versionText,
} from '../owners.ts';
import type { Column } from '../table.ts';
import { clusterOptions, requireCluster } from '../target.ts';
import { span } from '../time.ts';

export const view: Command = {
  name: 'view',
  parameters: '',
  summary: 'show the workers of a cluster, their partitions, and handoffs in progress',
  options: [
    { flag: '--epochs', description: 'each partition with its owner and epoch' },
    { flag: '--watch', description: 'refresh every second, until Ctrl-C' },
    ...clusterOptions,
  ],
  notes: [
    'A worker is joining until it has claimed every partition that the view gives it, leaving while it hands off, and silent if it is listed in the view but does not answer.',
    'A cluster is split if workers reach the store but not each other: check the routes between the NATS servers.',
    'process is a process id on the worker’s own machine; a narrow terminal leaves it out.',
    'clock is how far a worker’s clock is ahead of the median; two clocks may differ by skewMaxMs.',
    'With --json: one document; with --watch, one per line.',
  ],
  examples: ['skerry view', 'skerry view --watch', 'skerry view --epochs --json | jq .partitions'],
  run: showView,
};

const watchMs = 1_000;
/** Rows of one part that people are shown. */
const rowCountMax = 20;

const stateStyles: Readonly<Record<State, Style | undefined>> = {
  ready: 'green',
  joining: 'yellow',
  leaving: 'yellow',
  silent: 'red',
};

interface Seen {
  readonly view: View;
  readonly workers: readonly LiveWorker[];
  readonly handoffs: readonly Handoff[];
  /** Only where they were asked for. */
  readonly partitions: readonly OwnedPartition[] | undefined;
}

async function showView(given: Given): Promise<number> {
  const { options, output } = given;
  return withCluster(given, requireCluster(given), async (cluster) => {
    for (;;) {
      const seen = await look(cluster, options.epochs === true);
      if (options.watch === true && output.isTerminal) output.clear();
      if (output.isJson) output.json(seenValue(cluster, seen));
      else show(given, cluster, seen);
      if (options.watch !== true) return 0;
      await cluster.pause(watchMs);
      if (!output.isTerminal && !output.isJson) output.line();
    }
  });
}

async function look(cluster: LiveCluster, hasEpochs: boolean): Promise<Seen> {
  const workers = await cluster.reports();
  const { view: present } = cluster;
  const placement = new Placement(present);
  return {
    view: present,
    workers,
    handoffs: handoffsOf(placement, workers),
    partitions: hasEpochs ? await partitionsOf(cluster, placement, workers) : undefined,
  };
}

function seenValue({ place }: LiveCluster, { view: present, workers, handoffs, partitions }: Seen): object {
  const { aheadMs: clocks, skewMaxMs } = clocksOf(workers);
  return {
    cluster: place.cluster,
    version: present.version,
    partitionCount: present.partitions,
    skewMaxMs,
    service: workers.find(({ report }) => report?.isServing === true)?.entry.name ?? null,
    workers: workers.map(({ entry, report, aheadMs }) => ({
      name: entry.name,
      id: entry.id,
      state: stateOf({ entry, report }),
      version: entry.version,
      labels: entry.labels,
      weight: entry.weight,
      types: entry.types,
      pid: report?.pid ?? null,
      startedAt: report?.startedAt ?? null,
      viewVersion: report?.viewVersion ?? null,
      partitions: report?.partitions.length ?? null,
      coming: report?.coming.length ?? null,
      figures: report?.figures ?? null,
      clockMs: aheadMs === undefined ? null : (clocks.get(entry.id) ?? 0),
      split: report?.split || null,
    })),
    handoffs,
    pins: present.pins,
    ...(partitions === undefined ? {} : { partitions }),
  };
}

function show({ output }: Given, { place }: LiveCluster, seen: Seen): void {
  const { view: present, workers, handoffs, partitions } = seen;
  const service = workers.find(({ report }) => report?.isServing === true)?.entry.name;
  const facts = [
    `${workers.length} ${workers.length === 1 ? 'worker' : 'workers'}`,
    `${present.partitions} partitions`,
    `view ${versionText(present)}`,
    service === undefined ? 'no service' : `service on ${service}`,
  ];
  output.line(`${output.style('bold', place.cluster)} ${output.style('dim', `· ${facts.join(' · ')}`)}`);
  for (const line of splitsOf(workers)) output.line(output.style('red', `split: ${line}`));
  output.line();
  showWorkers(output, workers);
  showHandoffs(output, handoffs);
  showPins(output, present.pins, workers);
  if (partitions !== undefined) showPartitions(output, partitions);
}

function showWorkers(output: Output, workers: readonly LiveWorker[]): void {
  const hasLabels = workers.some(({ entry }) => entry.labels.length > 0);
  const hasVersions = workers.some(({ entry }) => entry.version !== '');
  const { aheadMs, skewMaxMs } = clocksOf(workers);
  const count = (value: number | undefined) => (value === undefined ? '?' : value.toLocaleString('en'));
  // Beside versions or labels there is no room for it on a narrow terminal.
  const hasProcesses = output.width >= (hasLabels || hasVersions ? 100 : 80);
  const columns: Column[] = [
    { title: 'worker' },
    { title: 'state' },
    { title: 'partitions', isNumber: true },
    { title: 'entities', isNumber: true },
    { title: 'queued', isNumber: true },
    { title: 'up' },
    { title: 'clock', isNumber: true },
    ...(hasProcesses ? [{ title: 'process', isNumber: true }] : []),
    ...(hasVersions ? [{ title: 'version', isFlexible: true }] : []),
    ...(hasLabels ? [{ title: 'labels', isFlexible: true }] : []),
  ];
  const rows = workers.map((worker) => {
    const { entry, report } = worker;
    const state = stateOf(worker);
    const style = stateStyles[state];
    const shown = state.padEnd(Math.max(...workers.map((one) => stateOf(one).length)));
    return [
      entry.name,
      style === undefined ? shown : output.style(style, shown),
      count(report?.partitions.length),
      count(report?.figures.activations),
      count(report?.figures.queued),
      report === undefined ? '?' : span(report.now - report.startedAt),
      clockText(output, aheadMs.get(entry.id), skewMaxMs),
      ...(hasProcesses ? [String(report?.pid ?? '?')] : []),
      ...(hasVersions ? [visible(entry.version)] : []),
      ...(hasLabels ? [visible(entry.labels.join(', '))] : []),
    ];
  });
  output.table(columns, rows);
}

/** Against the clock in the middle. */
function clockText(output: Output, aheadMs: number | undefined, skewMaxMs: number): string {
  if (aheadMs === undefined) return '?';
  const text = aheadText(aheadMs);
  if (Math.abs(aheadMs) <= skewMaxMs / 2) return text;
  return output.style(Math.abs(aheadMs) > skewMaxMs ? 'red' : 'yellow', text);
}

function showHandoffs(output: Output, handoffs: readonly Handoff[]): void {
  if (handoffs.length === 0) return;
  output.heading(`Handoffs in progress (${handoffs.length.toLocaleString('en')})`);
  const rows = handoffs.map(({ partition, from, to }) => [String(partition), from ?? '-', to]);
  output.table(
    [{ title: 'partition', isNumber: true }, { title: 'from' }, { title: 'to' }],
    rows.slice(0, rowCountMax),
  );
  more(output, rows.length);
}

function showPins(output: Output, pins: readonly Pin[], workers: readonly LiveWorker[]): void {
  if (pins.length === 0) return;
  const names = new Set(workers.map(({ entry }) => entry.name));
  output.heading(`Pins (${pins.length.toLocaleString('en')})`);
  const rows = pins.map(({ address, worker }) => [
    names.has(worker) ? worker : `${worker} (not in the view)`,
    addressText(address),
  ]);
  output.table([{ title: 'worker' }, { title: 'entity' }], rows.slice(0, rowCountMax));
  more(output, rows.length);
}

/** All of them: that is what was asked for. */
function showPartitions(output: Output, partitions: readonly OwnedPartition[]): void {
  output.heading(`Partitions (${partitions.length.toLocaleString('en')})`);
  const rows = partitions.map(({ partition, worker, owner, epoch }) => [
    String(partition),
    String(epoch),
    owner ?? '-',
    worker === owner ? '' : (worker ?? 'nobody'),
  ]);
  const [number, epoch] = [
    { title: 'partition', isNumber: true },
    { title: 'epoch', isNumber: true },
  ];
  output.table([number, epoch, { title: 'owner' }, { title: 'moving to' }], rows);
}

function more(output: Output, count: number): void {
  if (count > rowCountMax)
    output.line(output.style('dim', `and ${(count - rowCountMax).toLocaleString('en')} more: --json shows them`));
}
