/** What a bank's accounts can be asked, and the agreement of those that pay. */
import * as v from 'valibot';
import { agreement, command, entity, type Later, many, query, tentative } from '../../core/index.ts';
import { type Books, type Note, newBooks } from './cut.ts';

const Name = v.pipe(v.string(), v.minLength(1), v.maxLength(100));
const Amount = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(1_000_000_000));

/** One account's share: it receives what is above 0, and pays what is below. */
const Share = v.object({ account: Name, amount: v.pipe(v.number(), v.integer(), v.notValue(0)) });
export type Share = v.InferOutput<typeof Share>;

const Shares = v.pipe(v.array(Share), v.minLength(1), v.maxLength(63));

/** What an account is to do for a transfer of another one. `colour`: see `cut.ts`. */
const Task = v.object({ transfer: Name, amount: Amount, colour: v.number() });
export type Task = v.InferOutput<typeof Task>;

/** A transfer that this account has begun and that is not decided. */
export interface OpenTransfer {
  readonly transfer: string;
  /** Its own share. */
  readonly amount: number;
  readonly colour: number;
  readonly payees: readonly Share[];
  readonly payerCount: number;
  readonly caller: Later<void>;
}

/** A payer did not pay what it had promised: this account paid instead. */
export interface Notice {
  readonly transfer: string;
  readonly account: string;
  readonly amount: number;
}

interface AccountState {
  books: Books;
  /** Of its worth: promised to transfers that are not decided. */
  held: number;
  /** Transfers that changed it: how many, and the sum of their digests. */
  count: number;
  digest: number;
  open: Record<string, OpenTransfer>;
  notices: Notice[];
}

export interface Statement {
  readonly worth: number;
  readonly held: number;
  readonly count: number;
  readonly digest: number;
  readonly open: number;
  readonly notices: readonly Notice[];
}

const unchecked = <Value>() => v.custom<Value>(() => true);

export const Account = entity('account', {
  initial: (): AccountState => ({ books: newBooks(), held: 0, count: 0, digest: 0, open: {}, notices: [] }),
  operations: {
    /** The first money. */
    endow: command(v.object({ amount: Amount })),
    /** This account is the hub, and its own share is what the others leave: all shares together are 0. */
    transfer: command(v.object({ transfer: Name, shares: Shares })),
    /** Pays once it is confirmed. */
    pay: tentative(Task, { output: Task }),
    receive: command(Task),
    /** An audit begins; those up to `done` are over. */
    meetAudit: command(v.object({ audit: v.number(), done: v.number() })),
    note: query(v.object({ audit: v.number() }), v.optional(unchecked<Note>())),
    statement: query(unchecked<Statement>()),
  },
});

/** Who receives need not be asked: an account takes any money. */
export const Payment = agreement('payment', {
  parties: { payers: many(Account).pay },
  decideWithinMs: 10_000,
});
