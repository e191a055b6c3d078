/**
 * Every limit of Skerry: its name, unit, default and the reason for it. One home; tests stand at each edge.
 *
 * `embed({ limits })` may change them, but for `keyBytesMax`, `identityBytesMax`, `nameLengthMax` and `depthMax`, which are
 * part of what addresses, names and stored values are.
 */
export interface Limits {
  /** Bytes of UTF-8 in an entity's key. Keys are parts of store keys, where LMDB allows 1,978 bytes for two of them. */
  readonly keyBytesMax: number;
  /** Bytes of a client's identity, written as one word (a character beyond letters, digits, _ and - takes three a byte). */
  readonly identityBytesMax: number;
  /** Characters of a type's, operation's, timer's or effect's name. */
  readonly nameLengthMax: number;
  /**
   * Bytes of one encoded input or output. Below NATS' default max_payload of 1 MiB, envelope and frame included; lowered to what
   * a NATS that takes less has room for.
   */
  readonly messageBytesMax: number;
  /** Bytes of one encoded state. */
  readonly stateBytesMax: number;
  /** Bytes of the application's encoded state about one partner. */
  readonly activityBytesMax: number;
  /** Levels of nesting in anything that is stored or sent. */
  readonly depthMax: number;
  /** Messages, timers and effects that one turn may decide on. */
  readonly turnOutputCountMax: number;
  /** Messages of one entity that are not yet acknowledged; a turn that would pass it fails with `overloaded` (P12). */
  readonly outboxCountMax: number;
  /** Bytes of those, and of all that one turn may decide on: a turn that asks for more than that alone fails with `too-large`. */
  readonly outboxBytesMax: number;
  /** Timers, and again holds, and again effects, of one entity at a time. */
  readonly timerCountMax: number;
  /** Bytes of those, again of each: a turn that would pass it fails with `overloaded` (P12). */
  readonly timerBytesMax: number;
  /** Messages, and again queries, that one entity has taken in and not answered, wherever they are (P12). */
  readonly mailboxCountMax: number;
  /** Bytes of those and of their answers; a queue of the largest messages is some seventy long. */
  readonly mailboxBytesMax: number;
  /** Messages, and again queries, that one worker has taken in and not answered, over all its entities (P12). */
  readonly workerQueueCountMax: number;
  /** Bytes of those and of their answers: a part of the 2 GB and more that a process of Node may have. */
  readonly workerQueueBytesMax: number;
  /** Entities whose messages a worker had no room for and that it tells when there is some; the others come again by themselves. */
  readonly turnedAwayCountMax: number;
  /** Bytes of answers that an entity keeps for one client's calls; a further call is answered `overloaded` (P12). */
  readonly keptAnswerBytesMax: number;
  /** Messages of one stream that arrived ahead of their turn and are held. */
  readonly aheadCountMax: number;
  /** Messages of one stream that are on their way at once. */
  readonly windowCountMax: number;
  /** Calls that one client has under way at once. */
  readonly clientCallCountMax: number;
  /** Bytes of the inputs of those. */
  readonly clientCallBytesMax: number;
  /** Copies of its calls that a client may send by itself, for each call that it makes: what is silent is not helped by more. */
  readonly retryShareMax: number;
  /** Copies that it may send beyond that at once, for a client that calls little; used ones come back within `retryMsMax`. */
  readonly retryBurstCountMax: number;
  /** Tries of a message whose turn throws, before it becomes a dead letter. */
  readonly attemptsMax: number;
  /** A try of an effect that takes longer is given up, unless the effect has its own limit, ms. */
  readonly effectMsMax: number;
  /** A turn that runs for longer is named in the log, by a thread beside it; 0 turns that off. ms. */
  readonly turnMsMax: number;
  /** Unclean ends of a worker's process while one message was under way in it, before it is not run any more. */
  readonly fatalEndsMax: number;
  /** After an unclean end of a partition's owner the next one notes what it runs for so long: repeats come within it, ms. */
  readonly cautionMs: number;
  /** How long an entity's message stays valid, ms. */
  readonly horizonMs: number;
  /** The oldest copy that is still accepted, counted from its sender's last proof of ownership, ms. */
  readonly transitMaxMs: number;
  /** By how much the clocks of two workers may differ, ms. */
  readonly skewMaxMs: number;
  /** For how long after a message expired its sender may ask the receiver whether it was processed, ms. */
  readonly doubtMs: number;
  /**
   * How long ahead anybody may ask that something be remembered, ms: a call's deadline, the life of an idempotency key, the
   * horizon of a type's messages. No client decides for how long a server remembers.
   */
  readonly lifeMsMax: number;
  /** A call without its own deadline is given up after this, ms. */
  readonly deadlineMs: number;
  /** How long a tentative operation is held unless its contract says otherwise, ms. */
  readonly holdMs: number;
  /** A stream with nothing unacknowledged is closed when it has been idle for this long, ms. */
  readonly closeIdleMs: number;
  /** Acknowledgements that no turn has carried to the store are written after this, ms. */
  readonly trimIdleMs: number;
  /** An unacknowledged message is sent again after this, then twice as long each time, ms. */
  readonly retryMs: number;
  /** Longest pause between two tries of anything, ms. */
  readonly retryMsMax: number;
  /** What a volatile entity is stays in a worker that it has left for its next owner, who asks within seconds, ms. */
  readonly carryMs: number;
  /** An entity that nobody asked for this long leaves memory, ms. */
  readonly idleMs: number;
  /** Activations of one worker, beyond which those at rest leave memory without waiting for `idleMs`. */
  readonly activationCountMax: number;
  /** Activities of one entity in memory; the others are read when their partner writes. */
  readonly activityCountMax: number;
  /** Entities in one group that is on its way to the store. */
  readonly groupCountMax: number;
  /** Bytes after which a group takes no further entity. */
  readonly groupBytesMax: number;
  /**
   * While entities have waited for longer than this until a group takes them, no further turns are run, ms: what waits in a
   * mailbox can still be turned away in time, what waits for the store cannot.
   */
  readonly storeWaitMsMax: number;
}

export const defaultLimits: Limits = {
  keyBytesMax: 512,
  identityBytesMax: 128,
  nameLengthMax: 64,
  messageBytesMax: 900_000,
  stateBytesMax: 16_777_216,
  activityBytesMax: 65_536,
  depthMax: 64,
  turnOutputCountMax: 10_000,
  outboxCountMax: 20_000,
  outboxBytesMax: 67_108_864,
  timerCountMax: 200_000,
  timerBytesMax: 67_108_864,
  mailboxCountMax: 10_000,
  mailboxBytesMax: 67_108_864,
  workerQueueCountMax: 100_000,
  workerQueueBytesMax: 268_435_456,
  turnedAwayCountMax: 200_000,
  keptAnswerBytesMax: 4_194_304,
  aheadCountMax: 1_024,
  windowCountMax: 256,
  clientCallCountMax: 65_536,
  clientCallBytesMax: 268_435_456,
  retryShareMax: 0.25,
  retryBurstCountMax: 1_000,
  attemptsMax: 16,
  effectMsMax: 600_000,
  turnMsMax: 5_000,
  fatalEndsMax: 3,
  cautionMs: 30_000,
  horizonMs: 86_400_000,
  transitMaxMs: 120_000,
  skewMaxMs: 10_000,
  doubtMs: 600_000,
  lifeMsMax: 2_678_400_000,
  deadlineMs: 30_000,
  holdMs: 60_000,
  closeIdleMs: 10_000,
  trimIdleMs: 1_000,
  retryMs: 500,
  retryMsMax: 30_000,
  carryMs: 30_000,
  idleMs: 300_000,
  activationCountMax: 1_000_000,
  activityCountMax: 64,
  groupCountMax: 2_048,
  groupBytesMax: 8_388_608,
  storeWaitMsMax: 500,
};

/** The longest time that may be declared, ms: a hundred years. With it no date leaves the safe integers. */
export const durationMsMax = 3_155_760_000_000;

/** The last date of JavaScript, ms: nothing may be planned beyond it. */
export const dateMsMax = 8_640_000_000_000_000;

/** Why a value cannot be a duration; undefined: it can be one. Absent ones are their caller's business. */
export function durationProblem(value: unknown, msMin = 0): string | undefined {
  if (typeof value === 'number' && value >= msMin && value <= durationMsMax) return undefined;
  const found = typeof value === 'number' ? String(value) : `a value of the type ${typeof value}`;
  return `must be a number of milliseconds from ${msMin} to ${durationMsMax} (a hundred years), not ${found}`;
}

/** Limits as an application gives them: those that it leaves out, or gives as undefined, are the default ones. */
export type GivenLimits = { readonly [Name in keyof Limits]?: Limits[Name] | undefined };

export function limitsOf(given: GivenLimits = {}): Limits {
  return withGiven(defaultLimits, given);
}

/** The defaults, and in their places what was given and is not undefined. */
export function withGiven<Options extends object>(defaults: Options, given: object = {}): Options {
  return Object.assign(
    { ...defaults },
    Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)),
  );
}
