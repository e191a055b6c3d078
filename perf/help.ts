/** The text of `skerry perf --help`. */
import { rowLines } from '../runtime/cli/help.ts';
import { scenarios } from './scenarios/all.ts';

const rows = (pairs: readonly (readonly [string, string])[]) => rowLines(pairs, 26).join('\n');

export const helpText = `measure a cluster, each scenario beside its floors in the same run

${rows([
  ['skerry perf <scenario> [options]', 'start a cluster here, or measure one (--attach)'],
  ['skerry perf agent --nats URL', 'generate load for a measurement that runs elsewhere'],
  ['skerry perf compare A.json B.json', 'what changed, and whether it is more than the noise'],
])}

Scenarios
${rows(scenarios.map(({ name, summary }) => [name, summary]))}

Options
${rows([
  ['--workers N', 'worker processes; embedded: workers in the one process (1)'],
  ['--together', 'all workers in one process, on one store (drain, overload)'],
  ['--clients N', 'load generators, a process each (1)'],
  ['--connections N', 'clients in each of them, each with a connection of its own (1; drain: 1000)'],
  ['--concurrency N', 'calls in flight over all clients (1024)'],
  ['--rate R', 'calls a second, counted from their intended start; 70%: of the maximum, found just before'],
  ['--duration 10s', 'of each repeat, 500ms or 10m; --warmup 2s before it, not counted (reserve: 20s)'],
  ['--repeats N', 'each on a fresh cluster; figures are medians (5); ^C reports those that are done'],
  ['--keys N', 'entities (10000; idle: 1000000)'],
  ['--skew zipf:0.99', 'how unevenly they are called (uniform)'],
  ['--store S', 'memory, lmdb[:FOLDER], redis (its own, everysec), redis://… (memory)'],
  ['--nats N', 'embedded, own (starts nats-server), nats://… (embedded; with redis: own)'],
  [
    '--faults kill@10s,move@15s',
    'kill workers, or have them leave and come back; drain@5s: half of those --together leave at once',
  ],
  ['--floors all|main|none', 'which floors are measured (all); --floor-duration 3s each, if --duration is not shorter'],
  [
    '--state-bytes N',
    'counter and hot: of each state, of which a turn changes little; growth: of the largest (1000000)',
  ],
  ['--partners N', 'growth: the most partners of one entity (100000); --keys N: the most entities (1000000)'],
  ['--attach', 'a cluster that runs already and hosts the app of this package; the entities stay'],
  ['--cluster NAME', 'its name (perf; with --attach main)'],
  ['--agents N', 'wait up to a minute for N agents (otherwise whoever answers within a second)'],
  ['--json FILE', 'the report; - is standard output'],
  ['--html FILE --svg FILE', 'the same to look at'],
  ['--hdr FILE', 'raw histograms, as the tools of HdrHistogram read them'],
  ['--cpu-prof FOLDER', 'a CPU profile of each process'],
  ['--quiet', 'nothing but the files'],
])}
`;
