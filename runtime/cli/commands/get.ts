/** `skerry get`: everything that is stored of one entity. */
import type { Activity } from '../../../core/activity.ts';
import { isEntityPartner } from '../../../core/message.ts';
import type { Period } from '../../../core/timer.ts';
import type { Inspection } from '../../admin/inspector.ts';
import { agreementColumns, agreementRow, agreementValue } from '../agreement-rows.ts';
import type { Command, Given } from '../command.ts';
import { bytesText } from '../doctor-folder.ts';
import { addressArgument, addressText, escapeText, partnerText, visible } from '../escape.ts';
import { jsonText, prettyJson } from '../json.ts';
import { contentText, contentValue, payloadText, payloadValue } from '../message-rows.ts';
import type { Output } from '../output.ts';
import { look, missing } from '../reading.ts';
import type { Column } from '../table.ts';
import { clusterNotes, clusterOptions } from '../target.ts';
import { relative, timeText } from '../time.ts';

export const get: Command = {
  name: 'get',
  parameters: '<type/key>',
  summary: 'show an entity: state, activities, outbox, timers, holds, effects, later answers, agreements, dead letters',
  options: clusterOptions,
  notes: [
    'Reads committed data, even while an app runs. Shows at most 1,000 activities. With --json, all parts are in one document, and times are in ms since 1970.',
    ...clusterNotes,
  ],
  examples: ['skerry get stock/tea', 'skerry get stock/tea --json | jq .state'],
  run: getEntity,
};

const activityCountMax = 1_000;
/** Rows of one part that people are shown. */
const rowCountMax = 20;

async function getEntity(given: Given): Promise<number> {
  const { args, output, environment } = given;
  const address = addressArgument(args[0] ?? '');
  return look(given, async (sight) => {
    const found = await sight.inspector.get(address, { activityCountMax });
    if (found === undefined) throw await missing(sight, address);
    if (output.isJson) output.json(inspectionValue(found));
    else show(found, output, environment.now());
    return 0;
  });
}

function inspectionValue(found: Inspection): object {
  const { address, version, at, stateVersion, state, hasMoreActivities } = found;
  return {
    address,
    version,
    at,
    stateVersion,
    state,
    activities: found.activities.map(activityValue),
    hasMoreActivities,
    outbox: found.outbox.map(({ partner, message: { seq, expires, content } }) => ({
      to: partner,
      seq,
      expires,
      ...contentValue(content),
    })),
    outboxBytes: found.outboxBytes,
    timers: found.timers.map(({ name, due, to, content, period }) => ({
      name,
      due,
      period,
      to: to === '' ? undefined : to,
      ...contentValue(content),
    })),
    holds: found.holds.map(({ payload, ...hold }) => ({ ...hold, input: payloadValue(payload) })),
    effects: found.effects.map(({ payload, ...effect }) => ({ ...effect, input: payloadValue(payload) })),
    later: found.later.map(({ id, partner, operation, since, until }) => ({
      id,
      operation,
      from: partner === '' ? undefined : partner,
      since,
      until,
    })),
    agreements: found.agreements.map(agreementValue),
    dead: found.dead.map(({ content, ...letter }) => ({ ...letter, ...contentValue(content) })),
  };
}

function activityValue({ partner, inbound, outbound, application }: Activity): object {
  return {
    partner,
    inbound: inbound && {
      session: inbound.session,
      through: inbound.through,
      keepUntil: inbound.keepUntil,
      closedAt: inbound.closedAt,
    },
    outbound: outbound && {
      session: outbound.session,
      next: outbound.next,
      unacked: outbound.unacked.length,
      isClosing: outbound.isClosing,
    },
    application: application.value,
  };
}

function show(found: Inspection, output: Output, now: number): void {
  const { address, version, stateVersion, at } = found;
  output.line(output.style('bold', addressText(address)));
  const shape = stateVersion === 1 ? '' : ` · state version ${stateVersion}`;
  output.line(output.style('dim', `version ${version}${shape} · last turn ${timeText(at)}, ${relative(at, now)}`));
  output.heading('State');
  for (const line of prettyJson(found.state ?? null, output.width - 2).split('\n')) output.line(`  ${line}`);
  showActivities(found, output);
  const rows = partsOf(found, now);
  for (const { title, columns, rows: all } of rows) {
    if (all.length === 0) continue;
    const size = title === 'Outbox' ? `, ${bytesText(found.outboxBytes)}` : '';
    output.heading(`${title} (${all.length.toLocaleString('en')}${size})`);
    output.table(columns, all.slice(0, rowCountMax), '  ');
    more(all.length, output);
  }
}

/** Entities before clients and idempotency keys, which come and go. */
function showActivities({ activities, hasMoreActivities }: Inspection, output: Output): void {
  if (activities.length === 0) return;
  const sorted = [...activities].sort(
    (one, other) => Number(isEntityPartner(other.partner)) - Number(isEntityPartner(one.partner)),
  );
  const hasState = activities.some(({ application }) => application.value !== undefined);
  const rows = sorted
    .slice(0, rowCountMax)
    .map(({ partner, inbound, outbound, application }) => [
      inbound === undefined ? '' : `${inbound.through}${inbound.closedAt > 0 ? ' closed' : ''}`,
      outbound === undefined ? '' : String(outbound.next - 1),
      outbound === undefined ? '' : String(outbound.unacked.length),
      ...(hasState ? [application.value === undefined ? '' : jsonText(application.value)] : []),
      partnerText(partner),
    ]);
  output.heading(`Activities (${activities.length.toLocaleString('en')}${hasMoreActivities ? ', and more' : ''})`);
  const state: Column[] = hasState ? [{ title: 'own state', isFlexible: true }] : [];
  output.table(
    [
      { title: 'received', isNumber: true },
      { title: 'sent', isNumber: true },
      { title: 'waiting', isNumber: true },
      ...state,
      { title: 'partner' },
    ],
    rows,
    '  ',
  );
  more(activities.length, output);
}

function more(count: number, output: Output): void {
  if (count > rowCountMax)
    output.line(output.style('dim', `  and ${(count - rowCountMax).toLocaleString('en')} more: --json shows them`));
}

interface Part {
  readonly title: string;
  readonly columns: readonly Column[];
  readonly rows: readonly (readonly string[])[];
}

function partsOf({ outbox, timers, holds, effects, later, agreements, dead }: Inspection, now: number): Part[] {
  const asked: Column = { title: 'asked', isFlexible: true };
  return [
    {
      title: 'Outbox',
      columns: [{ title: 'seq', isNumber: true }, asked, { title: 'expires' }, { title: 'to' }],
      rows: outbox.map(({ partner, message }) => [
        String(message.seq),
        contentText(message.content),
        relative(message.expires, now),
        partnerText(partner),
      ]),
    },
    {
      title: 'Timers',
      columns: [{ title: 'due' }, { title: '' }, asked, { title: 'name' }],
      rows: timers.map(({ name, due, to, content, period }) => [
        timeText(due),
        relative(due, now),
        `${contentText(content)}${to === '' ? '' : ` to ${partnerText(to)}`}${period === undefined ? '' : ` ${periodText(period)}`}`,
        escapeText(name),
      ]),
    },
    holdPart(holds, now),
    {
      title: 'Effects',
      columns: [asked, { title: 'id' }],
      rows: effects.map(({ id, name, payload }) => [`${name} ${payloadText(payload, '')}`.trim(), escapeText(id)]),
    },
    {
      title: 'Later answers',
      columns: [asked, { title: 'since' }, { title: 'until' }, { title: 'from' }],
      rows: later.map(({ operation, since, until, partner }) => [
        operation,
        relative(since, now),
        relative(until, now),
        partner === '' ? 'itself' : partnerText(partner),
      ]),
    },
    { title: 'Agreements', columns: agreementColumns, rows: agreements.map((part) => agreementRow(part, now)) },
    deadPart(dead, now),
  ];
}

function holdPart(holds: Inspection['holds'], now: number): Part {
  return {
    title: 'Holds',
    columns: [{ title: 'asked', isFlexible: true }, { title: 'until' }, { title: 'id' }],
    rows: holds.map(({ id, operation, payload, until, isLapsed }) => [
      `${operation} ${payloadText(payload, '')}`.trim(),
      isLapsed ? 'lapsed' : until > 8.64e15 ? 'resolved by hand' : relative(until, now),
      escapeText(id),
    ]),
  };
}

function periodText({ everyMs, cron, zone, missedCount }: Period): string {
  const missed = missedCount === 0 ? '' : `, ${missedCount} missed`;
  return `${cron === '' ? `every ${everyMs} ms` : `at ${cron} ${zone}`}${missed}`;
}

function deadPart(dead: Inspection['dead'], now: number): Part {
  return {
    title: 'Dead letters',
    columns: [
      { title: 'id' },
      { title: 'asked', isFlexible: true },
      { title: 'reason', isFlexible: true },
      { title: 'when' },
      { title: 'partner' },
    ],
    rows: [...dead]
      .sort((one, other) => one.at - other.at)
      .map((letter) => [
        letter.id,
        contentText(letter.content),
        visible(letter.reason),
        relative(letter.at, now),
        partnerText(letter.partner),
      ]),
  };
}
