/**
 * A shop's orders, from a file or a pipe, through durable entities, to a table in which every number adds up.
 *
 *     npm start                                        the committed file, data in .data/orders
 *     npm start -- --input FILE --data DIR             another file, another folder
 *     cat more.jsonl | npm start -- --input -          from a pipe
 *
 * Interrupt it in any way and start it again: it goes on where it was.
 * Exit code: 0; 1 when an equality does not hold or something failed; 2 for a wrong command line; 128 + signal when stopped.
 */
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { isSkerryError } from '../../core/index.ts';
import { type Cluster, embed } from '../../runtime/index.ts';
import { customer } from './customer.ts';
import { settledFigures } from './figures.ts';
import { intake, openSource, type Source, takeIn } from './intake.ts';
import { Ledger } from './lines.ts';
import { order } from './order.ts';
import { Progress } from './progress.ts';
import { check, render, resultOf } from './report.ts';
import { stock } from './stock.ts';

const usage = 'npm start -- [--input FILE|-] [--data DIR]';
const exitCodes = { SIGINT: 130, SIGTERM: 143 } as const;

process.exitCode = await main();

async function main(): Promise<number> {
  const options = readOptions();
  if (typeof options === 'string') return complain(`${options}\n\n  ${usage}`, 2);
  let source: Source;
  try {
    source = await openSource(options.input);
  } catch (error) {
    return complain(`cannot read ${options.input}: ${textOf(error)}`, 2);
  }
  try {
    return await withCluster(options.data, (cluster, signal) => run(cluster, source, signal));
  } catch (error) {
    return complain(isSkerryError(error) ? `${error.code}: ${error.message}` : textOf(error), 1);
  }
}

function readOptions(): { input: string; data: string } | string {
  const committed = fileURLToPath(new URL('lines.jsonl', import.meta.url));
  try {
    const { values } = parseArgs({
      options: { input: { type: 'string', default: committed }, data: { type: 'string', default: '.data/orders' } },
    });
    return values;
  } catch (error) {
    return textOf(error);
  }
}

/**
 * A signal stops the work between two groups of lines, so that everything under way is closed in good order. A second
 * one is ignored: whoever started this process (npm, tsx) may pass on what the terminal has sent to all of them.
 */
async function withCluster(
  folder: string,
  work: (cluster: Cluster, signal: AbortSignal) => Promise<number>,
): Promise<number> {
  const stop = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.on(name, () => stop.abort(name));
  const cluster = await embed({ behaviours: [order, stock, customer, intake], store: folder });
  try {
    return await work(cluster, stop.signal);
  } catch (error) {
    if (!stop.signal.aborted) throw error;
    return complain(
      `${process.stderr.isTTY ? '\n' : ''}stopped; the same command goes on from here`,
      exitCodes[stop.signal.reason as keyof typeof exitCodes],
    );
  } finally {
    await cluster.close();
    process.stdin.destroy();
  }
}

async function run(cluster: Cluster, source: Source, signal: AbortSignal): Promise<number> {
  const ledger = new Ledger();
  const progress = new Progress();
  progress.begin('lines ', source.lineCount);
  await takeIn(cluster, source, {
    ledger,
    signal,
    listener: {
      resumed(line) {
        progress.note(`going on after line ${line}`);
        progress.begin('lines ', source.lineCount, line);
      },
      malformed: (line, reason) => progress.note(`line ${line} is malformed: ${reason}`),
      reached: (line) => progress.at(line),
    },
  });

  progress.begin('orders', undefined);
  const figures = await settledFigures(cluster, {
    signal,
    isRight: (taken) => check(taken, ledger).every(({ violations }) => violations.length === 0),
    resolved: (count, of) => progress.at(count, of),
  });
  progress.end();

  const checks = check(figures, ledger);
  const result = resultOf(figures, ledger, checks);
  process.stdout.write(`${render(figures, result, checks)}\n\n${JSON.stringify(result)}\n`);
  return result.violations === 0 ? 0 : 1;
}

function complain(text: string, code: number): number {
  process.stderr.write(`${text}\n`);
  return code;
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
