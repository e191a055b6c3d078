/**
 * The simulated network: one transport per node, and a fate for each frame.
 *
 * Owns delay, loss, duplication and cuts, in one direction or both. Of envelopes it knows only that a duplicated call may
 * rightly have happened although one copy of it was turned away.
 */

import { SkerryError } from '../../core/errors.ts';
import type { Transport } from '../transport.ts';
import { withAnyLast } from '../transport.ts';
import { decodeFrame } from '../wire/codec.ts';
import { type Coverage, operationsOfFrame } from './coverage.ts';
import type { FaultRates } from './faults.ts';
import type { SeededRandom } from './random.ts';
import { newNode, type SimulatedNode, type VirtualTime } from './virtual-time.ts';

/** What a cut-off node no longer does: send, receive, or both. */
export type Cut = 'in' | 'out' | 'both';

/** Events of one node's end of the network, besides frames. */
interface End {
  readonly node: SimulatedNode;
  readonly absent: Set<(subject: string) => void>;
  readonly restored: Set<() => void>;
}

interface Sent {
  readonly subject: string;
  readonly frame: Uint8Array;
}

interface Listener {
  readonly node: SimulatedNode;
  readonly receive: (frame: Uint8Array, subject: string) => void;
}

export interface NetworkParts {
  readonly time: VirtualTime;
  readonly chance: SeededRandom;
  readonly coverage: Coverage;
  readonly transitMaxMs: number;
  /** The server's `max_payload`. */
  readonly frameBytesMax: number;
  rates: FaultRates;
}

export class Network {
  readonly #parts: NetworkParts;
  readonly #node = newNode('network');
  readonly #listeners = new Map<string, Set<Listener>>();
  readonly #ends = new Set<End>();
  readonly #cut = new Map<SimulatedNode, Cut>();
  /** Inputs of calls that the network has duplicated. */
  readonly duplicatedInputs: string[] = [];
  /** Number of frames in flight. */
  underWay = 0;

  constructor(parts: NetworkParts) {
    this.#parts = parts;
  }

  set rates(rates: FaultRates) {
    this.#parts.rates = rates;
  }

  /** The transport as one node sees it. */
  transport(node: SimulatedNode): Transport {
    const end: End = { node, absent: new Set(), restored: new Set() };
    this.#ends.add(end);
    return {
      frameBytesMax: this.#parts.frameBytesMax,
      listen: (subject, receive) => this.#listen(subject, { node, receive }),
      send: (subject, frame) => this.#send(end, subject, frame),
      onAbsent: (tell) => added(end.absent, tell),
      onRestored: (tell) => added(end.restored, tell),
      close: async () => void this.#ends.delete(end),
    };
  }

  /** Whether anything separates the node from the others. */
  isCut(node: SimulatedNode): boolean {
    return this.#cut.has(node);
  }

  cut(node: SimulatedNode, cut: Cut): void {
    this.#cut.set(node, cut);
  }

  #isDeaf(node: SimulatedNode): boolean {
    const cut = this.#cut.get(node);
    return cut === 'in' || cut === 'both';
  }

  #isMute(node: SimulatedNode): boolean {
    const cut = this.#cut.get(node);
    return cut === 'out' || cut === 'both';
  }

  /** Ends a cut. If a connection would not have survived it, the node is told soon. */
  mend(node: SimulatedNode): void {
    const cut = this.#cut.get(node);
    this.#cut.delete(node);
    if (cut !== 'both') return;
    for (const end of this.#ends) {
      if (end.node !== node || end.restored.size === 0) continue;
      this.#parts.time.schedule(node, this.#delay(), 'network restored', () => {
        if (this.#ends.has(end) && !this.isCut(node)) for (const tell of [...end.restored]) tell();
      });
    }
  }

  mendAll(): void {
    for (const node of [...this.#cut.keys()]) this.mend(node);
  }

  #listen(subject: string, listener: Listener): () => void {
    let listeners = this.#listeners.get(subject);
    if (listeners === undefined) {
      listeners = new Set();
      this.#listeners.set(subject, listeners);
    }
    listeners.add(listener);
    return () => void listeners.delete(listener);
  }

  #send(end: End, subject: string, frame: Uint8Array): void {
    const { chance, rates, coverage, frameBytesMax } = this.#parts;
    if (frame.length > frameBytesMax)
      throw new SkerryError('too-large', `The frame takes ${frame.length} bytes; frameBytesMax is ${frameBytesMax}`);
    if (end.node.isDead || this.#isMute(end.node)) return;
    if (chance.hits(rates.drop)) return coverage.fault('frame dropped', operationsOfFrame(subject, frame));
    // Not slice(): that of a Buffer does not copy, and the codec makes Buffers.
    this.#deliverLater(end, { subject, frame: new Uint8Array(frame) }, this.#delay({ subject, frame }));
    if (!chance.hits(rates.duplicate)) return;
    coverage.fault('frame duplicated', operationsOfFrame(subject, frame));
    this.#markDuplicated(subject, frame);
    const copies = chance.between(1, 2);
    for (let copy = 0; copy < copies; copy++)
      this.#deliverLater(end, { subject, frame: new Uint8Array(frame) }, this.#delay() + chance.between(0, 2_000));
  }

  /** `sent`: the frame to delay; undefined for other events. */
  #delay(sent?: Sent): number {
    const { chance, rates, coverage, transitMaxMs } = this.#parts;
    const operations = () => (sent === undefined ? [] : operationsOfFrame(sent.subject, sent.frame));
    if (chance.hits(rates.late)) {
      coverage.fault('frame late', operations());
      return transitMaxMs + chance.between(1, 2 * transitMaxMs);
    }
    if (!chance.hits(rates.delay)) return chance.between(0, 4);
    coverage.fault('frame delayed', operations());
    return chance.between(10, 1_500);
  }

  #deliverLater(from: End, { subject, frame }: Sent, delayMs: number): void {
    this.underWay += 1;
    this.#parts.time.schedule(this.#node, delayMs, `frame ${subject} ${frame.length} ${digest(frame)}`, () =>
      this.#deliver(from, { subject, frame }),
    );
  }

  #deliver(from: End, { subject, frame }: Sent): void {
    this.underWay -= 1;
    const all = [subject, withAnyLast(subject)].flatMap((heard) => [...(this.#listeners.get(heard) ?? [])]);
    const known = all.filter(({ node }) => !node.isDead);
    if (known.length === 0) this.#tellAbsent(from, subject);
    const listeners = known.filter(({ node }) => !this.#isDeaf(node));
    if (listeners.length > 1) this.#markDuplicated(subject, frame);
    for (const listener of listeners) {
      const delayMs = this.#viewDelay(subject);
      if (delayMs !== undefined) this.#hand(listener, { subject, frame: new Uint8Array(frame) }, delayMs);
    }
  }

  #hand({ node, receive }: Listener, { subject, frame }: Sent, delayMs: number): void {
    if (node.isPaused || delayMs > 0)
      this.#parts.time.schedule(node, delayMs, 'frame arrives', () => receive(frame, subject));
    else receive(frame, subject);
  }

  /** A view goes to many nodes at once, and may be lost or late for some of them. Undefined: lost. */
  #viewDelay(subject: string): number | undefined {
    const { chance, rates, coverage } = this.#parts;
    if (!subject.endsWith('.views') || !chance.hits(rates.view)) return 0;
    coverage.fault('view lost or late');
    return chance.hits(0.6) ? undefined : chance.between(10, 5_000);
  }

  /** The report travels as frames do, so it may be late or lost. A cut-off node counts as present: a server takes long to notice. */
  #tellAbsent(end: End, subject: string): void {
    const { chance, rates, time } = this.#parts;
    if (end.absent.size === 0 || chance.hits(rates.drop)) return;
    time.schedule(end.node, this.#delay(), `absent ${subject}`, () => {
      if (this.#ends.has(end) && !this.#isDeaf(end.node)) for (const tell of [...end.absent]) tell(subject);
    });
  }

  #markDuplicated(subject: string, frame: Uint8Array): void {
    // Only workers get calls. Other frames contain no envelopes.
    if (!/\.(?:worker|call|gate|tool)\./.test(subject)) return;
    for (const envelope of decodeFrame(frame).envelopes) {
      if (envelope.kind === 'message' && envelope.call > 0)
        this.duplicatedInputs.push(Buffer.from(envelope.content.payload).toString('latin1'));
    }
  }
}

function added<Tell>(tellers: Set<Tell>, tell: Tell): () => void {
  tellers.add(tell);
  return () => void tellers.delete(tell);
}

/** For the trace, which must show that frames differ. */
function digest(bytes: Uint8Array): number {
  let value = 0x811c9dc5;
  for (const byte of bytes) value = Math.imul(value ^ byte, 0x01000193);
  return value >>> 0;
}
