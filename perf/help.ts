/** The text of `skerry perf --help`. */
import { rowLines } from '../runtime/cli/help.ts';
import { scenarios } from './scenarios/all.ts';

const rows = (pairs: readonly (readonly [string, string])[]) => rowLines(pairs, 26).join('\n');

export const helpText = `measures a cluster, and in the same run the floors of each scenario (NATS, Redis or LMDB alone)

${rows([
  ['skerry perf <scenario> [options]', 'start a cluster here, or measure one (--attach)'],
  ['skerry perf agent --nats URL', 'generate load for a measurement that runs elsewhere'],
  ['skerry perf compare A.json B.json', 'show the differences of two reports, and whether they exceed the noise'],
])}

Scenarios
${rows(scenarios.map(({ name, summary }) => [name, summary]))}

Options
${rows([
  ['--workers N', 'worker processes; embedded: workers in the one process (default 1)'],
  ['--together', 'run all workers in one process, on one store (default for drain and overload)'],
  ['--clients N', 'load generators, one process each (default 1)'],
  ['--connections N', 'clients in each load generator, each with its own connection (default 1; drain: 1000)'],
  ['--concurrency N', 'calls in flight over all clients (default 1024)'],
  ['--rate R', 'calls per second, timed from their intended start; 70% is a share of the measured maximum'],
  ['--duration T', 'measured time of each repeat, such as 500ms or 10m (default 10s)'],
  ['--warmup T', 'time before it that is not measured (default 2s; reserve: 20s)'],
  ['--repeats N', 'repeats, each on a fresh cluster (default 5); figures are medians; ^C reports the finished ones'],
  ['--keys N', 'entities (default 10000; idle and growth: 1000000)'],
  ['--skew zipf:0.99', 'distribution of calls over entities (default uniform)'],
  ['--store S', 'memory, lmdb[:FOLDER], redis (starts one, everysec) or redis://… (default memory)'],
  ['--nats N', 'embedded, own (starts nats-server) or nats://… (default embedded; with redis: own)'],
  [
    '--faults kill@10s,move@15s',
    'kill a worker; let one leave and return; drain@5s: half of the workers of --together leave at once',
  ],
  ['--floors all|main|none', 'the floors to measure (default all)'],
  ['--floor-duration T', 'measured time of each floor (default 3s, or --duration if that is shorter)'],
  [
    '--state-bytes N',
    'counter, hot: size of each state, of which a turn changes little; growth: largest state (default 1000000)',
  ],
  ['--partners N', 'growth: largest number of partners of one entity (default 100000)'],
  ['--attach', 'measure a running cluster that hosts the perf app of this package; its entities stay'],
  ['--cluster NAME', 'name of the cluster (default perf; with --attach: main)'],
  ['--agents N', 'wait up to a minute for N agents (default: all that answer within a second)'],
  ['--json FILE', 'write the report as JSON; - is standard output'],
  ['--html FILE', 'write the report as a page'],
  ['--svg FILE', 'write the charts of the report'],
  ['--hdr FILE', 'write the raw histograms in the log format of HdrHistogram'],
  ['--cpu-prof FOLDER', 'write a CPU profile of each process'],
  ['--quiet', 'print nothing; only write the files'],
])}
`;
