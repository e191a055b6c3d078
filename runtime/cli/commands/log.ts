/** `skerry log`: the committed turns that an entity's type keeps. */
import { type Address, typeOf } from '../../../core/message.ts';
import type { HistoryItem } from '../../../core/record.ts';
import { decode } from '../../wire/codec.ts';
import { newsText } from '../agreement-rows.ts';
import type { Command, Given } from '../command.ts';
import { optionText } from '../command.ts';
import { addressArgument, addressText, partnerText, visible } from '../escape.ts';
import { CliError } from '../failure.ts';
import { jsonText } from '../json.ts';
import { payloadText, payloadValue } from '../message-rows.ts';
import { look, lotsOf, missing, type Sight } from '../reading.ts';
import type { Column } from '../table.ts';
import { clusterNotes, clusterOptions } from '../target.ts';
import { clockText } from '../time.ts';

export const log: Command = {
  name: 'log',
  parameters: '<type/key>',
  summary: 'show the turns of an entity, oldest first',
  options: [{ flag: '--last <count>', description: 'only the last ones' }, ...clusterOptions],
  notes: [
    'A type keeps history if its behaviour has historyMs:\n  behaviour(Stock, { … }, { historyMs: 7 * 24 * 3_600_000 })',
    'Versions that are not shown are commits without a turn, such as acknowledgements.',
    'With --json: one turn per line, with its input, answer status, messages sent, what it did to agreements, and the new state if the turn changed it and it is small.',
    ...clusterNotes,
  ],
  examples: ['skerry log stock/tea', 'skerry log order/7 --last 20 --json'],
  run: showLog,
};

const columns: readonly Column[] = [
  { title: 'version', isNumber: true },
  { title: 'time' },
  { title: 'from', isFlexible: true },
  { title: 'asked', isFlexible: true },
  { title: 'answer' },
  { title: 'sent', isFlexible: true },
  { title: 'agreements', isFlexible: true },
];

async function showLog(given: Given): Promise<number> {
  const { args, output } = given;
  const address = addressArgument(args[0] ?? '');
  const last = lastOf(given);
  return look(given, async (sight) => {
    const found = await sight.inspector.get(address, { activityCountMax: 0 });
    if (found === undefined) throw await missing(sight, address);
    const items = Number.isFinite(last)
      ? await lastItems(sight, { address, version: found.version }, last)
      : sight.inspector.history(address);
    let count = 0;
    let [first, latest] = [0, 0];
    for await (const lot of lotsOf(items, lotCount)) {
      count += lot.length;
      if (first === 0) first = lot[0]?.version ?? 0;
      latest = lot.at(-1)?.version ?? latest;
      if (!output.isJson) showItems(given, lot);
      for (const item of output.isJson ? lot : []) {
        output.json(itemValue(address, item));
        await output.room();
      }
      await output.room();
    }
    if (count === 0) return nothingKept(given, sight, address);
    if (latest - first >= count)
      output.note('Versions between these are commits without a turn, such as acknowledgements.');
    return 0;
  });
}

/** Rows of one table: more are another table, so that the first is seen soon and none is held. */
const lotCount = 500;

/** From the end: each turn has a version of its own, and not each has a record. */
async function lastItems(
  { inspector }: Sight,
  { address, version }: { readonly address: Address; readonly version: number },
  count: number,
): Promise<HistoryItem[]> {
  for (let span = count; ; span *= 4) {
    let items: HistoryItem[] = [];
    for await (const item of inspector.history(address, Math.max(0, version - span))) {
      items.push(item);
      if (items.length >= 2 * count) items = items.slice(-count);
    }
    if (items.length >= count || span >= version) return items.slice(-count);
  }
}

/** What was sent has no column where nothing was, nor have agreements. */
function showItems({ output, environment }: Given, items: readonly HistoryItem[]): void {
  const now = environment.now();
  const hasSent = items.some(({ sent }) => sent.length > 0);
  const hasAgreed = items.some(({ agreements }) => agreements !== undefined);
  const isShown = ({ title }: Column) => (title === 'sent' ? hasSent : title === 'agreements' ? hasAgreed : true);
  output.table(
    columns.filter(isShown),
    items.map((item) => itemRow(item, now).filter((_, index) => isShown(columns[index] as Column))),
  );
}

function lastOf(given: Given): number {
  const text = optionText(given, 'last') ?? '';
  const count = text === '' ? Number.POSITIVE_INFINITY : Number(text);
  if (count === Number.POSITIVE_INFINITY || (Number.isInteger(count) && count > 0)) return count;
  throw new CliError('usage', `--last takes a number of turns, not '${text}'`);
}

/** Nothing at all may have been kept since the type keeps none: that is an answer to say, and to say what to do. */
function nothingKept({ output }: Given, { remembered }: Sight, address: Address): number {
  const type = typeOf(address);
  if (remembered.some((one) => one.type === type && one.historyMs !== undefined)) {
    output.note(
      `${addressText(address)} has no stored turns: it had none since its type began to keep history, or they are too old`,
    );
    return 0;
  }
  throw new CliError('not-found', `The type '${type}' keeps no history`, {
    advice: `turn it on in its behaviour: behaviour(…, { … }, { historyMs: 7 * 24 * 3_600_000 })`,
  });
}

function itemValue(address: Address, { state, payload, ...item }: HistoryItem): object {
  return { address, ...item, input: payloadValue(payload), ...(state.length === 0 ? {} : { state: decode(state) }) };
}

/** What an effect came to: its output, or why it failed. The status has a column of its own. */
function outcomeText(payload: Uint8Array): string {
  const { output, message } = (payloadValue(payload) ?? {}) as { readonly output?: unknown; readonly message?: string };
  if (message !== undefined) return visible(message);
  return output === undefined || output === null ? '' : jsonText(output);
}

function itemRow(item: HistoryItem, now: number): string[] {
  const { version, at, partner, kind, operation, payload, status, sent } = item;
  const what = kind === 'operation' ? operation : `${kind} ${operation}`.trim();
  const targets = sent.map(
    (message) =>
      `${message.kind === 'operation' ? '' : `${message.kind} `}${message.operation} to ${partnerText(message.to)}`,
  );
  return [
    String(version),
    clockText(at, now),
    partnerText(partner),
    `${what} ${kind === 'effect' ? outcomeText(payload) : payloadText(payload, kind)}`.trim(),
    status,
    targets.join(', '),
    (item.agreements ?? []).map(newsText).join(', '),
  ];
}
