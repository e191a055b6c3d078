/**
 * Every limit of Skerry, with its name, unit and default. Each is tested at its edge.
 *
 * The option `limits` may change them, except `keyBytesMax`, `identityBytesMax`, `nameLengthMax` and `depthMax`: those are
 * part of the format of addresses, names and stored values.
 */
export interface Limits {
  /** UTF-8 bytes of an entity's key. Keys are part of store keys; LMDB allows 1,978 bytes for two of them. */
  readonly keyBytesMax: number;
  /** Bytes of a client's identity as a subject word: letters, digits, _ and - take one, every other UTF-8 byte takes three. */
  readonly identityBytesMax: number;
  /** Characters of the name of a type, operation, timer or effect. */
  readonly nameLengthMax: number;
  /**
   * Bytes of one encoded input or output. With envelope and frame the default is below NATS' default `max_payload` of 1 MiB.
   * It is lowered automatically for a NATS server with a smaller `max_payload`.
   */
  readonly messageBytesMax: number;
  /** Bytes of one encoded state. */
  readonly stateBytesMax: number;
  /** Bytes of the application's encoded state about one partner. */
  readonly activityBytesMax: number;
  /** Levels of nesting in anything that is stored or sent. */
  readonly depthMax: number;
  /** Messages, timers and effects of one turn. */
  readonly turnOutputCountMax: number;
  /** Unacknowledged messages of one entity. A turn that would exceed it fails with `overloaded` (P12). */
  readonly outboxCountMax: number;
  /** Bytes of the unacknowledged messages of one entity. A turn whose own output alone exceeds it fails with `too-large`. */
  readonly outboxBytesMax: number;
  /** Timers of one entity at a time. The same limit applies to its holds, to its effects, and to its later answers. */
  readonly timerCountMax: number;
  /** Bytes of the timers of one entity; likewise of its holds, effects and later answers. A turn that would exceed it fails with `overloaded` (P12). */
  readonly timerBytesMax: number;
  /** Messages that one entity has accepted and not answered (P12). The same limit applies to its queries. */
  readonly mailboxCountMax: number;
  /** Bytes of the messages in `mailboxCountMax` and of their answers. A queue of the largest messages holds about seventy. */
  readonly mailboxBytesMax: number;
  /** Messages that one worker has accepted and not answered, over all its entities (P12). The same limit applies to queries. */
  readonly workerQueueCountMax: number;
  /** Bytes of the messages in `workerQueueCountMax` and of their answers: a fraction of Node's heap limit of 2 GB or more. */
  readonly workerQueueBytesMax: number;
  /** Calls of put-off commands that one worker remembers. The callers of further ones hear the answer when they repeat their call. */
  readonly waitingCallCountMax: number;
  /** Senders that a full worker remembers, to notify them when it has room. Further senders retry on their own. */
  readonly turnedAwayCountMax: number;
  /** Bytes of answers that an entity keeps for the calls of one client. A further call is answered `overloaded` (P12). */
  readonly keptAnswerBytesMax: number;
  /** Messages of one stream that arrived out of order and are buffered. */
  readonly aheadCountMax: number;
  /** Messages of one stream in flight at once. */
  readonly windowCountMax: number;
  /** Calls of one client in flight at once. */
  readonly clientCallCountMax: number;
  /** Bytes of the inputs of a client's calls in flight. */
  readonly clientCallBytesMax: number;
  /** A client's retry budget: retries per call made, as a share. More retries do not help a server that does not answer. */
  readonly retryShareMax: number;
  /** Retries beyond that share, for a client with few calls. The allowance refills within `retryMsMax`. */
  readonly retryBurstCountMax: number;
  /** Tries of a message whose turn throws, before it becomes a dead letter. */
  readonly attemptsMax: number;
  /** Maximum time of one try of an effect without its own `timeoutMs`, ms. */
  readonly effectMsMax: number;
  /** A turn that runs for longer than this is reported in the log while it runs, ms. 0 turns the report off. */
  readonly turnMsMax: number;
  /** Crashes of worker processes while one message was running alone, before the message is no longer run. */
  readonly fatalEndsMax: number;
  /** How long the next owner of a partition records each message before running it, after a crash of the last owner, ms. */
  readonly cautionMs: number;
  /** How long an entity's message stays valid, ms. */
  readonly horizonMs: number;
  /** Maximum age of a copy of a message that is still accepted, from the sender's last proof of ownership, ms. */
  readonly transitMaxMs: number;
  /** Maximum difference between the clocks of two workers, ms. */
  readonly skewMaxMs: number;
  /** How long after a message has expired its sender may ask the receiver whether it was processed, ms. */
  readonly doubtMs: number;
  /**
   * Maximum of a call's deadline, an idempotency key's life and a type's horizon, ms. It bounds how long a client can make a
   * worker remember something.
   */
  readonly lifeMsMax: number;
  /** Deadline of a call that sets none, ms. */
  readonly deadlineMs: number;
  /** Duration of a hold whose contract sets none, ms. */
  readonly holdMs: number;
  /** Time that a hold must have left, beyond `skewMaxMs`, when its agreement decides to confirm it, ms: the word is on its way for so long. */
  readonly wordMs: number;
  /** Parties of one agreement. */
  readonly agreementPartyCountMax: number;
  /** Bytes of the answers of one agreement's parties. An accepted party whose output is too much is cancelled. */
  readonly agreementBytesMax: number;
  /** A stream without unacknowledged messages is closed after being idle for this long, ms. */
  readonly closeIdleMs: number;
  /** Acknowledgements that no commit of a turn has written by then are written after this, ms. */
  readonly trimIdleMs: number;
  /** Pause before an unacknowledged message is sent again, ms. It doubles with each retry. */
  readonly retryMs: number;
  /** Longest pause between two tries of anything, ms. */
  readonly retryMsMax: number;
  /** How long a worker keeps the image of a volatile entity that it handed off, for the next owner to fetch, ms. */
  readonly carryMs: number;
  /** An entity that has been idle for this long is passivated, ms. */
  readonly idleMs: number;
  /** Activations of one worker; beyond it, idle entities are passivated before `idleMs`. */
  readonly activationCountMax: number;
  /** Activities of one entity in memory. Others are read from the store when their partner sends a message. */
  readonly activityCountMax: number;
  /** Entities in one group commit. */
  readonly groupCountMax: number;
  /** Bytes after which a group commit takes no further entity. */
  readonly groupBytesMax: number;
  /**
   * Maximum time that entities wait for a group commit, ms. While the wait is longer no further turns run: a message in a
   * mailbox can still be turned away before its deadline, a turn that waits for the store cannot.
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
  waitingCallCountMax: 200_000,
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
  wordMs: 5_000,
  agreementPartyCountMax: 256,
  agreementBytesMax: 1_048_576,
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

/** The longest duration, ms: a hundred years. A date plus this duration is still a safe integer. */
export const durationMsMax = 3_155_760_000_000;

/** The last date that JavaScript can represent, ms since 1970. Nothing may be scheduled after it. */
export const dateMsMax = 8_640_000_000_000_000;

/** Why a value is not a valid duration; undefined if it is one. The caller deals with absent values. */
export function durationProblem(value: unknown, msMin = 0): string | undefined {
  if (typeof value === 'number' && value >= msMin && value <= durationMsMax) return undefined;
  const found = typeof value === 'number' ? String(value) : `a value of the type ${typeof value}`;
  return `must be a number of milliseconds from ${msMin} to ${durationMsMax} (a hundred years), not ${found}`;
}

/** The limits that an application sets. Those that are absent or undefined have their defaults. */
export type GivenLimits = { readonly [Name in keyof Limits]?: Limits[Name] | undefined };

export function limitsOf(given: GivenLimits = {}): Limits {
  return withGiven(defaultLimits, given);
}

/** The defaults, overridden by each given value that is not undefined. */
export function withGiven<Options extends object>(defaults: Options, given: object = {}): Options {
  return Object.assign(
    { ...defaults },
    Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)),
  );
}
