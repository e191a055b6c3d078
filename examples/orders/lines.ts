/**
 * Lines of input: what one line of JSON asks for, or why it cannot be read; and what all lines together ask for.
 *
 * Pure. The sums here come from the lines alone, so that the report can hold what the entities say against them.
 */
import * as v from 'valibot';
import { Name, OrderLines, Units } from './contracts.ts';

const Line = v.variant(
  'kind',
  [
    v.object({ id: Name, kind: v.literal('order'), order: Name, customer: Name, lines: OrderLines }),
    v.object({ id: Name, kind: v.literal('restock'), product: Name, units: Units }),
    v.object({ id: Name, kind: v.literal('cancel'), order: Name }),
  ],
  'must be order, restock or cancel',
);

/** One thing that the shop's queue asks for; the same `id` again is the same line again. */
export type Line = v.InferOutput<typeof Line>;

export type Parsed = { readonly line: Line } | { readonly malformed: string };

/** What a line asks for, or the reasons why it is malformed. Fields that nobody here knows are left out. */
export function parseLine(text: string): Parsed {
  let value: unknown;
  try {
    // trim() takes off the byte order mark, too, with which some systems begin a file.
    value = JSON.parse(text.trim());
  } catch {
    return { malformed: 'not JSON' };
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return { malformed: 'not a JSON object' };
  const result = v.safeParse(Line, value);
  return result.success ? { line: result.output } : { malformed: result.issues.map(reasonOf).join('; ') };
}

function reasonOf(issue: v.BaseIssue<unknown>): string {
  const path = v.getDotPath(issue) ?? 'line';
  return issue.received === 'undefined' ? `${path} is missing` : `${path} ${issue.message}`;
}

/** What the lines read so far ask for. Each id counts once; each order too, though two lines may ask for it. */
export class Ledger {
  lines = 0;
  repeated = 0;
  malformed = 0;
  readonly orders = new Set<string>();
  readonly restocked = new Map<string, number>();
  readonly #seen = new Map<string, string>();

  /** Takes a line in. The same id for another request is malformed: nobody could tell which one was meant. */
  read(text: string): Parsed {
    this.lines += 1;
    const parsed = this.#judge(text);
    if ('malformed' in parsed) this.malformed += 1;
    return parsed;
  }

  #judge(text: string): Parsed {
    const parsed = parseLine(text);
    if ('malformed' in parsed) return parsed;
    const { line } = parsed;
    const request = JSON.stringify(line);
    const before = this.#seen.get(line.id);
    if (before !== undefined && before !== request)
      return { malformed: `id ${line.id} was used before for another request` };
    if (before === undefined) this.#count(line);
    else this.repeated += 1;
    this.#seen.set(line.id, request);
    return parsed;
  }

  #count(line: Line): void {
    if (line.kind === 'order') this.orders.add(line.order);
    if (line.kind === 'restock') this.restocked.set(line.product, (this.restocked.get(line.product) ?? 0) + line.units);
  }
}
