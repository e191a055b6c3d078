/**
 * Sheet: a state that is changed in every way that a draft can be changed, beside a plain model of it; of two versions of one
 * application, with history, local reads, an operation that not everybody may ask for, and inputs as large as they may be.
 *
 * The model is kept as text, which no draft touches: what is stored must be what plain objects would have become (P1, P11).
 */
import { type Behaviour, behaviour, command, entity, query, type Turn, unchecked } from '../../core/index.ts';
import { glancePart } from '../../runtime/entity/record-format.ts';
import type { Chance, Invariant, SimulatedClient, Stage, StoredEntity } from '../../runtime/testing/index.ts';
import { encode } from '../../runtime/wire/codec.ts';
import type { Calls } from './calls.ts';

interface Row {
  id: number;
  tags: string[];
}

interface Doc {
  list: number[];
  rows: Row[];
  map: Record<string, number | Row | { deeper: Row[] }>;
  bytes: Uint8Array;
}

interface SheetState {
  turns: number;
  log: string[];
  doc: Doc;
  /** What the document must be, as text. */
  model: string;
  /** How often an upgrade has been here. */
  upgrades: number;
  filler: string;
  anomalies: string[];
}

/** One change of a document; `a` and `b` choose where. */
interface Edit {
  readonly how: keyof typeof edits;
  readonly a: number;
  readonly b: number;
}

interface Edited {
  readonly id: string;
  readonly edits: readonly Edit[];
  readonly then: 'return' | 'throw' | 'refuse';
  readonly filler: string;
}

const at = (a: number, { length }: { readonly length: number }) => (length === 0 ? 0 : a % length);
const rowOf = (a: number, b: number): Row => ({ id: a, tags: [`t${b}`] });
/** Like numbers and not, and such as plain objects inherit. */
const names = ['1', '02', '-1', '10', '3', 'a', 'length', 'toJSON', 'z'];
const nameOf = (a: number) => names[a % names.length] as string;

/** The same on a draft and on a plain object. */
const edits = {
  push: ({ list }: Doc, a: number, b: number) => void list.push(a, b),
  pop: ({ list }: Doc) => void list.pop(),
  shift: ({ list }: Doc) => void list.shift(),
  unshift: ({ list }: Doc, a: number) => void list.unshift(a),
  splice: ({ list }: Doc, a: number, b: number) => void list.splice(at(a, list), b % 4, a, b),
  sort: ({ list }: Doc, a: number) => void list.sort((one, other) => (a % 2 === 0 ? one - other : other - one)),
  reverse: ({ list }: Doc) => void list.reverse(),
  copyWithin: ({ list }: Doc, a: number, b: number) => void list.copyWithin(at(a, list), at(b, list)),
  fill: ({ list }: Doc, a: number, b: number) => void list.fill(b, at(a, list)),
  truncate({ list }: Doc, a: number) {
    list.length = Math.min(list.length, a % 40);
  },
  assign({ list }: Doc, a: number, b: number) {
    list[at(a, list)] = b;
  },
  addRow: ({ rows }: Doc, a: number, b: number) => void rows.push(rowOf(a, b)),
  tag: ({ rows }: Doc, a: number, b: number) => void rows[at(a, rows)]?.tags.push(`t${b}`),
  removeRow: ({ rows }: Doc, a: number) => void rows.splice(at(a, rows), 1),
  swapRows({ rows }: Doc, a: number, b: number) {
    const [left, right] = [at(a, rows), at(b, rows)];
    const [one, other] = [rows[left], rows[right]];
    if (one === undefined || other === undefined) return;
    rows[left] = other;
    rows[right] = one;
  },
  rotateRows({ rows }: Doc) {
    const row = rows.shift();
    if (row !== undefined) rows.push(row);
  },
  sortRows: ({ rows }: Doc) => void rows.sort((one, other) => one.id - other.id),
  reverseRows: ({ rows }: Doc) => void rows.reverse(),
  replaceRows(doc: Doc, a: number) {
    doc.rows = doc.rows.filter(({ id }) => id % 3 !== a % 3);
  },
  moveRow({ rows, map }: Doc, a: number, b: number) {
    const [row] = rows.splice(at(a, rows), 1);
    if (row === undefined) return;
    map[nameOf(b)] = row;
    row.tags.push('moved');
  },
  nest({ rows, map }: Doc, a: number, b: number) {
    const [row] = rows.splice(at(a, rows), 1);
    if (row !== undefined) map[nameOf(b)] = { deeper: [row, rowOf(a, b)] };
  },
  unnest({ rows, map }: Doc, a: number) {
    const name = nameOf(a);
    const found = map[name];
    if (typeof found !== 'object') return;
    delete map[name];
    if ('deeper' in found) rows.push(...found.deeper);
    else rows.push(found);
  },
  set({ map }: Doc, a: number, b: number) {
    map[nameOf(a)] = b;
  },
  remove({ map }: Doc, a: number) {
    delete map[nameOf(a)];
  },
  rename({ map }: Doc, a: number, b: number) {
    const [from, to] = [nameOf(a), nameOf(b)];
    const value = map[from];
    if (value === undefined || from === to) return;
    delete map[from];
    map[to] = value;
  },
  merge: ({ map }: Doc, a: number, b: number) => void Object.assign(map, { [nameOf(a)]: b, [nameOf(b)]: rowOf(b, a) }),
  spread(doc: Doc, a: number, b: number) {
    doc.map = { ...doc.map, [nameOf(a)]: b };
  },
  bytes(doc: Doc, a: number, b: number) {
    doc.bytes = new Uint8Array([a & 255, b & 255, 7]);
  },
  byte({ bytes }: Doc, a: number, b: number) {
    if (bytes.length > 0) bytes[at(a, bytes)] = b & 255;
  },
} satisfies Record<string, (doc: Doc, a: number, b: number) => void>;

const hows = Object.keys(edits) as (keyof typeof edits)[];

/** Keys in order: which one came first says nothing after a patch. */
function textOf(doc: Doc): string {
  return JSON.stringify(doc, (_, value: unknown) => {
    if (value instanceof Uint8Array) return { bytes: [...value] };
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
    return Object.fromEntries(Object.entries(value).sort(([one], [other]) => (one < other ? -1 : 1)));
  });
}

function docOf(text: string): Doc {
  const doc = JSON.parse(text) as Omit<Doc, 'bytes'> & { bytes: { bytes: number[] } };
  return { ...doc, bytes: new Uint8Array(doc.bytes.bytes) };
}

const initial = (): SheetState => {
  const doc: Doc = { list: [3, 1, 2], rows: [rowOf(1, 1)], map: {}, bytes: new Uint8Array([1, 2, 3]) };
  return { turns: 0, log: [], doc, model: textOf(doc), upgrades: 0, filler: '', anomalies: [] };
};

export const Sheet = entity('sheet', {
  initial,
  operations: {
    edit: command(unchecked<Edited>(), unchecked<{ turns: number }>()),
    seal: command(unchecked<{ id: string }>(), unchecked<{ turns: number }>()),
    look: query(unchecked<{ turns: number }>()),
  },
});

function applied(turn: Turn<typeof Sheet>, id: string): { turns: number } {
  turn.state.turns += 1;
  turn.state.log.push(id);
  return { turns: turn.state.turns };
}

const handlers = {
  edit(turn: Turn<typeof Sheet>, { id, edits: wanted, then, filler }: Edited) {
    const plain = docOf(turn.state.model);
    for (const { how, a, b } of wanted) {
      edits[how](turn.state.doc, a, b);
      edits[how](plain, a, b);
    }
    turn.state.model = textOf(plain);
    const text = textOf(turn.state.doc);
    if (text !== turn.state.model) turn.state.anomalies.push(`after ${wanted.map(({ how }) => how)}: ${text}`);
    if (then === 'throw') throw new Error('after all of it');
    if (then === 'refuse') turn.refuse('after all of it');
    if (filler !== '') turn.state.filler = filler;
    return applied(turn, id);
  },
  seal: (turn: Turn<typeof Sheet>, { id }: { id: string }) => applied(turn, id),
  look: ({ state }: { readonly state: { readonly turns: number } }) => ({ turns: state.turns }),
};

const historyMs = 20_000;

/** As of one version of the application: the second one upgrades what the first one wrote. */
export function sheet(version: 1 | 2): Behaviour {
  const upgrades = {
    1: (state: unknown) => ({ ...(state as SheetState), upgrades: (state as SheetState).upgrades + 1 }),
  };
  return behaviour(Sheet, handlers, {
    reads: 'local',
    historyMs,
    version,
    ...(version === 1 ? {} : { upgrades }),
  });
}

export const sealer = 'sealer';

export function maySeal(identity: string, operation: string): boolean {
  return operation !== 'seal' || identity === sealer;
}

export const sheetInvariant: Invariant = ({ state }: StoredEntity) => {
  const { doc, model, upgrades, anomalies, turns, log } = state.value as SheetState;
  if (anomalies.length > 0) throw new Error(anomalies.join('; '));
  if (textOf(doc) !== model) throw new Error(`stored is ${textOf(doc)}, expected ${model}`);
  if (upgrades > 1) throw new Error(`upgraded ${upgrades} times`);
  if (log.length !== turns) throw new Error(`${turns} turns, ${log.length} in the log`);
};

function editsOf(chance: Chance): Edit[] {
  return Array.from({ length: chance.between(1, 8) }, () => ({
    how: chance.pick(hows),
    a: chance.between(0, 1_000),
    b: chance.between(0, 1_000),
  }));
}

export async function useSheet(stage: Stage, client: SimulatedClient, calls: Calls, number: number): Promise<void> {
  const { chance, name } = client;
  const key = chance.pick(['s', 't']);
  const ref = client.client.entity(Sheet, key);
  const address = `sheet/${key}`;
  const id = `${name}-${number}.`;
  const which = chance.next();
  if (which < 0.2) return calls.look(address, () => ref.look(), 'local');
  if (which < 0.3) {
    const call = await calls.make(address, id, () => ref.seal({ id }));
    if (call.outcome === 'done' && !maySeal(client.identity, 'seal'))
      stage.violate('trust', `${name} has sealed ${address}`);
    if (call.error?.code === 'denied') stage.covered('a call that is denied');
    return;
  }
  const then = chance.hits(0.1) ? 'throw' : chance.hits(0.05) ? 'refuse' : 'return';
  const given: Edited = { id, edits: editsOf(chance), then, filler: '' };
  for (const { how } of given.edits) stage.covered(`draft: ${how}`);
  if (!chance.hits(0.15)) return void (await calls.make(address, id, () => ref.edit(given)));
  // As large as it may be, or one byte more.
  const { messageBytesMax } = stage.limits;
  if (messageBytesMax > 100_000) return;
  const probe = 'x'.repeat(messageBytesMax - 1_000);
  const excess = chance.pick([0, 0, 1]);
  const length = probe.length + messageBytesMax - encode({ ...given, filler: probe }).length + excess;
  const call = await calls.make(address, id, () => ref.edit({ ...given, filler: 'x'.repeat(length) }));
  const isTooLarge = call.error?.code === 'too-large';
  if (isTooLarge !== excess > 0)
    stage.violate('P12', `an input of ${messageBytesMax} + ${excess} bytes: ${call.error?.message ?? 'done'}`);
  stage.covered(excess > 0 ? 'an input that is a byte too large' : 'an input that is as large as it may be');
}

/** What is kept of turns is of turns that were: in order, with the state that each left. */
export function checkHistory(stage: Stage, { address, version }: StoredEntity): void {
  const stored = stage.image.entities.get(address);
  const items = [...(stored?.records ?? [])]
    .filter(([name]) => name[0] === 'h')
    .sort(([one], [other]) => (one < other ? -1 : 1))
    .map(([, bytes]) => glancePart('history', bytes));
  let [before, beforeAt] = [0, 0];
  for (const item of items) {
    if (item.version <= before || item.version > version || item.at < beforeAt)
      stage.violate('P3', `history of ${address}: ${item.version} at ${item.at} after ${before} at ${beforeAt}`);
    [before, beforeAt] = [item.version, item.at];
  }
  if (items.length > 0) stage.covered('history that is kept');
}
