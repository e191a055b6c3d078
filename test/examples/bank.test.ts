/** The bank's cut in every order that chance finds, its accounts played, and a bank that loses money: its auditors notice. */
import { account } from '../../examples/bank/account.ts';
import { Account, type Statement } from '../../examples/bank/contracts.ts';
import { type Books, change, meet, type Note, newBooks, sumOf } from '../../examples/bank/cut.ts';
import { bank } from '../../examples/bank/example.ts';
import type { Findings, Story } from '../../examples/runner/example.ts';
import { embed } from '../../runtime/index.ts';
import { type Chance, chanceOf, whole } from '../../runtime/testing/chance.ts';
import { play } from '../../runtime/testing/index.ts';
import { assert, suite } from '../support/suite.ts';

const test = suite('bank');

interface Message {
  readonly to: number;
  readonly colour: number;
  readonly amount: number;
}

/** Accounts that transfer in any order while audits begin in any order; what audits note, and what a look at all of them would say. */
function played(chance: Chance, isLateCounted: boolean): { sums: (number | undefined)[]; naive: number[] } {
  const books: Books[] = Array.from({ length: 4 }, newBooks);
  for (const one of books) change(one, 0, { worth: 100 });
  const under: Message[] = [];
  const audits = 3;
  const marks = Array.from({ length: audits }, (_, index) =>
    books.map((_one, to) => ({ to, audit: index + 1 })),
  ).flat();
  const naive: number[] = [];
  for (let steps = 0; steps < 80 || under.length + marks.length > 0; steps += 1) {
    const kind = whole(chance, 0, 2);
    if (kind === 0 && steps < 80) {
      const [hub, to] = [whole(chance, 0, 3), whole(chance, 0, 3)];
      const amount = whole(chance, 1, 9);
      const { colour } = books[hub]!;
      change(books[hub]!, colour, { worth: -amount, told: 1 });
      under.push({ to, colour, amount });
    } else if (kind === 1 && under.length > 0) {
      const [{ to, colour, amount }] = under.splice(whole(chance, 0, under.length - 1), 1) as [Message];
      meet(books[to]!, colour);
      change(books[to]!, isLateCounted ? colour : books[to]!.colour, { worth: amount, made: 1 });
    } else if (marks.length > 0) {
      const [mark] = marks.splice(whole(chance, 0, marks.length - 1), 1);
      meet(books[mark!.to]!, mark!.audit);
    }
    naive.push(books.reduce((sum, { sums }) => sum + sums.worth, 0));
  }
  const notesOf = (audit: number) => books.map(({ notes }) => notes.find((note) => note.audit === audit) as Note);
  return { sums: [1, 2, 3].map((audit) => sumOf(notesOf(audit))?.worth), naive };
}

test('in every order of transfers, messages and audits, each audit finds the same sum; a look at all accounts does not', () => {
  let naiveMisses = 0;
  for (let seed = 1; seed <= 300; seed += 1) {
    const { sums, naive } = played(chanceOf(seed), true);
    assert.equal(sums, [400, 400, 400], `seed ${seed}`);
    naiveMisses += naive.filter((sum) => sum !== 400).length;
  }
  assert.ok(naiveMisses > 1_000);
});

test('an account that does not add what was under way shows as changes that are missing', () => {
  const seeds = Array.from({ length: 50 }, (_, index) => index + 1);
  assert.ok(seeds.some((seed) => played(chanceOf(seed), false).sums.some((sum) => sum !== 400)));
});

const task = { transfer: 't', amount: 30, colour: 0 };
const worthOf = (statement: Statement) => [statement.worth, statement.held, statement.count];

test('a payer holds its share once, and pays it when the transfer is confirmed', () => {
  const one = play(account, 'one');
  one.ask.endow({ amount: 100 });
  one.ask.pay(task).confirm();
  one.ask.pay({ ...task, transfer: 'u', amount: 50 }).cancel();
  one.ask.pay({ ...task, transfer: 'v', amount: 70 });
  assert.throws(() => one.ask.pay({ ...task, amount: 1 }), /not enough money/);
  assert.equal(worthOf(one.ask.statement()), [70, 70, 1]);
});

test('a late change of an earlier colour belongs to the notes of the audits since; money that comes after them does not', () => {
  const one = play(account, 'one');
  one.ask.endow({ amount: 100 });
  const hold = one.ask.pay(task);
  one.ask.meetAudit({ audit: 1, done: 0 });
  one.ask.receive({ transfer: 'w', amount: 5, colour: 2 });
  hold.confirm();
  const worth = (audit: number) => one.ask.note({ audit })?.worth;
  assert.equal([worth(1), worth(2), one.ask.statement().worth], [70, 70, 75]);
  one.ask.meetAudit({ audit: 2, done: 1 });
  assert.is(one.ask.note({ audit: 1 }), undefined);
});

test('a transfer of two accounts is two durable turns, one of three in which two pay is five', async () => {
  const cluster = await embed({ behaviours: [account], store: 'memory' });
  const [ann, bob, cat] = ['ann', 'bob', 'cat'].map((key) => cluster.entity(Account, key));
  for (const one of [ann, bob, cat]) await one!.endow({ amount: 100 });
  const turns = () => cluster.workers[0]!.figures.turns;
  const until = async (count: number) => {
    while (turns() < count) await new Promise((resolve) => setTimeout(resolve, 5));
    await new Promise((resolve) => setTimeout(resolve, 50));
    return turns();
  };
  const before = turns();
  await ann!.transfer({ transfer: 't1', shares: [{ account: 'bob', amount: 40 }] });
  assert.is((await until(before + 2)) - before, 2);
  await ann!.transfer({
    transfer: 't2',
    shares: [
      { account: 'bob', amount: 50 },
      { account: 'cat', amount: -10 },
    ],
  });
  // The hub begins, the payer holds, the hub decides, the payer pays, the payee receives.
  assert.is((await until(before + 7)) - before, 2 + 5);
  const worths = await Promise.all([ann, bob, cat].map(async (one) => (await one!.statement()).worth));
  assert.equal(worths, [20, 190, 90]);
  await cluster.close();
});

test('a payer whose hold had ended when the word came has not paid: the hub pays instead, notes it, and every audit adds up', () => {
  const hub = play(account, 'hub');
  hub.ask.endow({ amount: 100 });
  const shares = [
    { account: 'payer', amount: -20 },
    { account: 'payee', amount: 50 },
  ];
  const call = hub.askLater.transfer({ transfer: 't', shares });
  const [asked] = hub.takeSent();
  const { hold } = asked!;
  hub.answer(Account, 'payer', 'pay', { status: 'accepted', output: asked!.input, hold });
  assert.is(call.answer?.status, 'done');
  hub.ask.meetAudit({ audit: 1, done: 0 });
  hub.answer(Account, 'payer', 'pay', { status: 'lapsed', hold });
  assert.equal(hub.ask.statement().notices, [{ transfer: 't', account: 'payer', amount: 20 }]);
  assert.equal(worthOf(hub.ask.statement()), [50, 0, 1]);
  // 30 of its own and 20 of the payer's; one change of two is still the payee's to make.
  const { worth, told, made, open } = hub.ask.note({ audit: 1 })!;
  assert.equal([worth, told, made, open], [50, 2, 1, 0]);
});

async function run(behaviours: typeof bank.behaviours, transfers: number): Promise<Findings> {
  const cluster = await embed({ behaviours, store: 'memory' });
  const options = { accounts: '64', skew: '1', size: '0', auditors: '2' };
  const { signal } = new AbortController();
  const given = { cluster, options, chance: chanceOf(3), clients: 16, note: () => undefined, signal };
  const story: Story = await bank.open(given);
  const end = new AbortController();
  const client = async () => {
    for (let done = 0; done < transfers; done += 1) await story.transact();
  };
  const clients = Promise.all(Array.from({ length: 16 }, client)).finally(() => end.abort());
  await Promise.all([clients, story.beside?.(end.signal)]);
  const findings = await story.finish();
  await cluster.close();
  return findings;
}

test('a bank with hot accounts and two auditors: all money is found at every audit, all transfers are where they were told to be', async () => {
  const { anomalies, facts } = await run(bank.behaviours, 20);
  assert.equal(anomalies, []);
  assert.ok(facts.done! > 100 && facts.audits! >= 2);
});

test('an account that keeps one coin of what it receives is noticed, by audits and by the comparison', async () => {
  const handlers = account.instantiate('any');
  const receive = handlers.receive as (turn: unknown, given: { amount: number }) => void;
  const greedy = {
    ...handlers,
    receive: (turn: unknown, given: { amount: number }) =>
      receive(turn, given.amount > 90 ? { ...given, amount: given.amount - 1 } : given),
  };
  const { anomalies } = await run([{ ...account, instantiate: () => greedy }], 10);
  assert.ok(anomalies.some((text) => /audit \d+ found/.test(text)));
  assert.ok(anomalies.some((text) => /its clients were told of/.test(text)));
});

test.run();
