/** The checks of `doctor` on stored data: entities, dead letters, overdue and waiting work. They read every entity. */
import { type Address, typeOf } from '../../core/message.ts';
import type { Inspection, Outline, Reading } from '../admin/inspector.ts';
import { everythingDone } from '../environment.ts';
import type { Given } from './command.ts';
import { addressText } from './escape.ts';
import { type Finding, note, ok, plural, wrong } from './finding.ts';
import { lotsOf, type Sight } from './reading.ts';
import { span } from './time.ts';

/** A timer that is late by this, or a message that waits for this, while an app runs, is wrong, ms. */
const lateMs = 60_000;
const pageCount = 1_000;
/** Several at a time, since each is a wait. */
const lotCount = 16;

/** How new a state whoever serves an entity can read; undefined: nobody says. */
export type VersionOf = (address: Address) => number | undefined;

export async function contents(
  given: Given,
  sight: Sight,
  { isRunning, versionOf }: { readonly isRunning: boolean; readonly versionOf: VersionOf },
): Promise<Finding[]> {
  const found = [ok('format', `readable, ${sight.store.partitions} partitions`)];
  const { counts, dead, tooNew, agreed } = await census(given, sight, versionOf);
  found.push(entityCounts(counts), tooNewStates(tooNew), deadLetters(dead), agreements(agreed, isRunning));
  found.push(...(await unfinished(given, sight, isRunning)));
  return found;
}

type Counts = ReadonlyMap<string, number>;

/** An entity that cannot be served: its state is of a later version than its app reads. */
interface TooNew {
  readonly address: Address;
  /** Undefined: not even Skerry reads it. */
  readonly stateVersion: number | undefined;
  readonly reads: number;
}

interface Census {
  readonly counts: Counts;
  readonly dead: Counts;
  readonly tooNew: readonly TooNew[];
  readonly agreed: Agreed;
}

/** What is wrong with agreements: in how many, and of which hubs the first ones. */
interface Agreed {
  readonly broken: Troubled;
  /** Not decided by `lateMs` after their deadline. */
  readonly late: Troubled & { ms: number };
}

interface Troubled {
  count: number;
  readonly hubs: Address[];
}

/** Entities and dead letters by type, and what is too new for its app: reads every entity. */
async function census({ output, environment }: Given, { inspector }: Sight, versionOf: VersionOf): Promise<Census> {
  const counts = new Map<string, number>();
  const dead = new Map<string, number>();
  const tooNew: TooNew[] = [];
  const agreed: Agreed = { broken: { count: 0, hubs: [] }, late: { count: 0, hubs: [], ms: 0 } };
  const now = environment.now();
  let seen = 0;
  for await (const addresses of lotsOf(inspector.list(), lotCount)) {
    const found = await Promise.all(addresses.map((address) => inspector.outline(address)));
    for (const [index, address] of addresses.entries()) {
      const type = typeOf(address);
      counts.set(type, (counts.get(type) ?? 0) + 1);
      const outline = found[index];
      if (outline === undefined) continue;
      if (outline.deadCount > 0) dead.set(type, (dead.get(type) ?? 0) + outline.deadCount);
      tooNew.push(...tooNewOf(address, outline, versionOf(address)));
      noteAgreements(agreed, address, outline, now);
    }
    seen += addresses.length;
    if (seen % 10_000 >= lotCount) continue;
    output.progress(`looking at entity ${seen.toLocaleString('en')}`);
    await everythingDone();
  }
  output.progress('');
  return { counts, dead, tooNew, agreed };
}

function noteAgreements(
  { broken, late }: Agreed,
  address: Address,
  { brokenCount, undecidedBy }: Outline,
  now: number,
): void {
  const over = undecidedBy.filter((by) => by + lateMs < now);
  noteTrouble(broken, address, brokenCount);
  noteTrouble(late, address, over.length);
  for (const by of over) late.ms = Math.max(late.ms, now - by);
}

function noteTrouble(trouble: Troubled, address: Address, count: number): void {
  trouble.count += count;
  if (count > 0 && trouble.hubs.length <= namedCount) trouble.hubs.push(address);
}

function tooNewOf(address: Address, { stateVersion }: Outline, reads: number | undefined): TooNew[] {
  if (reads === undefined || (stateVersion !== undefined && stateVersion <= reads)) return [];
  return [{ address, stateVersion, reads }];
}

function countsText(counts: Counts): string {
  return [...counts].map(([type, count]) => `${type} ${count.toLocaleString('en')}`).join(', ');
}

const totalOf = (counts: Counts): number => [...counts.values()].reduce((sum, count) => sum + count, 0);

function entityCounts(counts: Counts): Finding {
  return ok('entities', counts.size === 0 ? 'none yet' : countsText(counts), Object.fromEntries(counts));
}

/** So many are named. */
const namedCount = 3;

function tooNewStates(found: readonly TooNew[]): Finding {
  if (found.length === 0) return ok('states', 'none is newer than its app', { tooNew: 0 });
  const named = found.slice(0, namedCount).map(({ address, stateVersion, reads }) => {
    const what =
      stateVersion === undefined ? 'written by a newer Skerry' : `version ${stateVersion}, its app reads ${reads}`;
    return `${addressText(address)} (${what})`;
  });
  const rest = found.length > namedCount ? ', …' : '';
  const text = `${plural(found.length, 'entity', 'entities')} cannot be served, with a state that is newer than its app: ${named.join(', ')}${rest}. Run the version that wrote them`;
  return wrong('states', text, { tooNew: found.length, entities: found.slice(0, 100) });
}

function deadLetters(dead: Counts): Finding {
  if (dead.size === 0) return ok('dead letters', 'none', {});
  return wrong(
    'dead letters',
    `${totalOf(dead).toLocaleString('en')} (${countsText(dead)}): skerry dead list shows them`,
    Object.fromEntries(dead),
  );
}

function agreements({ broken, late }: Agreed, isRunning: boolean): Finding {
  const figures = { broken: broken.count, undecided: late.count };
  const texts = [
    ...(broken.count === 0
      ? []
      : [
          `${broken.count.toLocaleString('en')} broken (${hubsText(broken)}): a party was to be confirmed and is not. skerry agreements shows which; do what is left to do, then call turn.resolve in a turn of the hub`,
        ]),
    ...(late.count === 0
      ? []
      : [
          `${late.count.toLocaleString('en')} undecided up to ${span(late.ms)} after their deadline (${hubsText(late)})${isRunning ? ': see the log for what their hubs throw, and skerry doctor for their workers' : ': decided when the app runs'}`,
        ]),
  ];
  if (texts.length === 0) return ok('agreements', 'none broken or overdue', figures);
  return broken.count > 0 || isRunning
    ? wrong('agreements', texts.join('. '), figures)
    : note('agreements', texts.join('. '), figures);
}

function hubsText({ hubs }: Troubled): string {
  return `${hubs.slice(0, namedCount).map(addressText).join(', ')}${hubs.length > namedCount ? ', …' : ''}`;
}

/**
 * What entities have still to do by themselves, from the store's list of those that want to be woken. Most of those only want to
 * forget partners and history: that is housekeeping, and nobody waits for it.
 */
async function unfinished({ environment }: Given, sight: Sight, isRunning: boolean): Promise<Finding[]> {
  const now = environment.now();
  const late = { timers: 0, holds: 0, later: 0, entities: 0, ms: 0 };
  const waiting = { messages: 0, effects: 0, entities: 0, ms: 0 };
  for await (const lot of lotsOf(dueWakes(sight.store, now), lotCount)) {
    const all = await Promise.all(lot.map((address) => sight.inspector.get(address, { activityCountMax: 0 })));
    for (const found of all) {
      if (found === undefined) continue;
      noteLate(late, found, now);
      if (found.outbox.length + found.effects.length === 0) continue;
      waiting.entities += 1;
      waiting.messages += found.outbox.length;
      waiting.effects += found.effects.length;
      waiting.ms = Math.max(waiting.ms, now - found.at);
    }
  }
  // While nothing runs, nothing can be on time.
  const verdict = (ms: number) => (isRunning && ms > lateMs ? wrong : note);
  const rest = isRunning ? '' : ': handled when the app runs';
  const lateKinds = [
    ...(late.timers > 0 ? [plural(late.timers, 'timer', 'timers')] : []),
    ...(late.holds > 0 ? [plural(late.holds, 'hold', 'holds')] : []),
    ...(late.later > 0 ? [plural(late.later, 'later answer', 'later answers')] : []),
  ];
  const lateText = `${lateKinds.join(' and ')} of ${plural(late.entities, 'entity', 'entities')}, due for up to ${span(late.ms)}${rest}`;
  const kinds = [
    ...(waiting.messages > 0 ? [plural(waiting.messages, 'message', 'messages')] : []),
    ...(waiting.effects > 0 ? [plural(waiting.effects, 'effect', 'effects')] : []),
  ];
  const whose = plural(waiting.entities, 'entity', 'entities');
  const waitingText = `${kinds.join(' and ')} of ${whose}, waiting for at least ${span(waiting.ms)}${rest}`;
  return [
    late.entities === 0 ? ok('timers', 'none overdue', late) : verdict(late.ms)('timers', lateText, late),
    waiting.entities === 0 ? ok('outboxes', 'empty', waiting) : verdict(waiting.ms)('outboxes', waitingText, waiting),
  ];
}

function noteLate(
  late: { timers: number; holds: number; later: number; entities: number; ms: number },
  { timers, holds, later }: Inspection,
  now: number,
): void {
  const due = timers.filter((timer) => timer.due <= now).map((timer) => timer.due);
  const over = holds.filter(({ isLapsed, until }) => !isLapsed && until <= now).map(({ until }) => until);
  const ended = later.filter(({ until }) => until <= now).map(({ until }) => until);
  if (due.length + over.length + ended.length === 0) return;
  late.timers += due.length;
  late.holds += over.length;
  late.later += ended.length;
  late.entities += 1;
  for (const at of [...due, ...over, ...ended]) late.ms = Math.max(late.ms, now - at);
}

async function* dueWakes(store: Reading, now: number): AsyncIterable<string> {
  for await (const { address, wakeAt } of allWakes(store)) if (wakeAt <= now) yield address;
}

async function* allWakes(store: Reading): AsyncIterable<{ readonly address: string; readonly wakeAt: number }> {
  for (let partition = 0; partition < store.partitions; partition += 1) {
    let page = await store.wakes(partition, { limit: pageCount });
    while (page.length > 0) {
      yield* page;
      const after = page.at(-1);
      page =
        after === undefined || page.length < pageCount ? [] : await store.wakes(partition, { after, limit: pageCount });
    }
  }
}
