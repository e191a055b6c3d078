/** `skerry agreements`: what hubs have agreed, or tried to, and whom they wait for. */
import { type AgreementPart, isBroken, standingOf } from '../../../core/agreement-part.ts';
import { bytesOf } from '../../../core/small-map.ts';
import { agreementColumns, agreementRow, agreementValue, partyColumns, partyRow, sinceOf } from '../agreement-rows.ts';
import type { Command, Given } from '../command.ts';
import { addressArgument, addressText, escapeText } from '../escape.ts';
import { look, lotsOf, missing, requireType, type Sight } from '../reading.ts';
import { clusterNotes, clusterOptions } from '../target.ts';
import { timeText } from '../time.ts';

export const agreements: Command = {
  name: 'agreements',
  parameters: '[type/key | type]',
  summary: 'agreements that are open, under way or broken, broken ones first',
  options: clusterOptions,
  notes: [
    'An agreement is stored with its hub, until every party has heard what was decided. With a hub, each of its parties is shown.',
    'broken: a party was to be confirmed and is not. Do what is left to do, then call turn.resolve(open) in a turn of the hub.\nopen: waits for the answers of parties, until its deadline.\nconfirmed, cancelled: decided; waits for parties to hear it.',
    'Reads committed data, and runs nothing. With --json: one agreement per line, with its parties.',
    ...clusterNotes,
  ],
  examples: ['skerry agreements', 'skerry agreements order --json', 'skerry agreements order/17'],
  run: listAgreements,
};

interface Found {
  readonly address: string;
  readonly agreement: AgreementPart;
}

async function listAgreements(given: Given): Promise<number> {
  const [what] = given.args;
  return look(given, async (sight) => {
    if (what === undefined) return show(given, () => sight.inspector.agreements());
    if (!what.includes('/')) {
      await requireType(sight, what);
      return show(given, () => sight.inspector.agreements({ type: what }));
    }
    return showHub(given, sight, addressArgument(what));
  });
}

async function showHub(given: Given, sight: Sight, hub: string): Promise<number> {
  const outline = await sight.inspector.outline(hub);
  if (outline === undefined) throw await missing(sight, hub);
  return show(given, () => sight.inspector.agreements({ hub }), true);
}

/** Rows of one table; more are another one. */
const lotCount = 500;

/** What is held back while broken ones are looked for, bytes. */
const heldBytesMax = 8_388_608;
const rowBytes = 200;

async function show({ output, environment }: Given, all: () => AsyncIterable<Found>, isWhole = false): Promise<number> {
  let count = 0;
  const print = async (lot: readonly Found[]) => {
    count += lot.length;
    const now = environment.now();
    const sorted = [...lot].sort(brokenAndOldFirst);
    for (const { address, agreement } of output.isJson ? sorted : []) {
      output.json({ address, ...agreementValue(agreement) });
      await output.room();
    }
    if (output.isJson || lot.length === 0) return;
    if (isWhole) for (const { agreement } of sorted) showWhole(agreement, now);
    else
      output.table(
        [...agreementColumns, { title: 'hub' }],
        sorted.map(({ address, agreement }) => [...agreementRow(agreement, now), addressText(address)]),
      );
    await output.room();
  };
  const showWhole = (part: AgreementPart, now: number) => {
    if (count > 1) output.line();
    output.line(output.style('bold', `${part.name} ${stateText(part)}`));
    output.line(output.style('dim', `opened ${timeText(part.at)}, ${decisionText(part)} · ${escapeText(part.id)}`));
    output.table(
      partyColumns,
      part.parties.map((party) => partyRow(party, part, now)),
      '  ',
    );
  };
  await brokenFirst(all, print);
  if (count === 0) output.note('No agreements: none is open, under way or broken');
  return 0;
}

/** In bounded memory: the others are held back, or where they are too many read again. */
export async function brokenFirst(
  all: () => AsyncIterable<Found>,
  print: (lot: readonly Found[]) => Promise<void>,
): Promise<void> {
  let broken: Found[] = [];
  let held: Found[] | undefined = [];
  let bytes = 0;
  for await (const found of all()) {
    const { agreement } = found;
    bytes += bytesOf(agreement) + rowBytes * agreement.parties.length;
    if (bytes > heldBytesMax) held = undefined;
    if (!isBroken(agreement)) held?.push(found);
    else if (broken.push(found) >= lotCount || held === undefined) {
      await print(broken);
      broken = [];
    }
  }
  if (held !== undefined) for await (const lot of lotsOf([...broken, ...held], lotCount)) await print(lot);
  else {
    await print(broken);
    for await (const lot of lotsOf(all(), lotCount)) await print(lot.filter(({ agreement }) => !isBroken(agreement)));
  }
}

function brokenAndOldFirst({ agreement: one }: Found, { agreement: other }: Found): number {
  return Number(isBroken(other)) - Number(isBroken(one)) || sinceOf(one) - sinceOf(other);
}

function stateText(part: AgreementPart): string {
  const state = standingOf(part);
  return state === 'cancelled' ? `${state}: ${part.because}` : state;
}

function decisionText({ decision, decideBy, decidedAt }: AgreementPart): string {
  return decision === 'none' ? `to be decided by ${timeText(decideBy)}` : `decided ${timeText(decidedAt)}`;
}
