/**
 * What every store must do: the invariants of `runtime/store.ts`, each by its number, and a comparison of random
 * histories with the memory store.
 *
 * A store is given as `open`, which makes an empty one. `reopen` closes it and opens the same data again.
 */
import fc from 'fast-check';
import type { Store } from '../../runtime/store.ts';
import { MemoryStore } from '../../runtime/stores/memory.ts';
import { suite } from '../support/suite.ts';
import { commitRules } from './store-commits.ts';
import { claimed } from './store-given.ts';
import { compareWithModel, step } from './store-model.ts';
import { ownerRules } from './store-owners.ts';
import { readRules } from './store-reads.ts';

export interface OpenStore {
  readonly store: Store;
  reopen(): Promise<Store>;
  close(): Promise<void>;
}

/** Runs the suite by itself: there is no `run` to call. */
export function storeSuite(name: string, open: () => Promise<OpenStore>): void {
  const test = suite(`store: ${name}`);
  for (const { title, body } of [...commitRules, ...ownerRules, ...readRules])
    test(title, () =>
      withStore(open, async ({ store, reopen }) => body({ store, reopen, epoch: await claimed(store) })),
    );

  test('a random history reads as it does in the memory store', async () => {
    const property = fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 40 }), (steps) =>
      withStore(open, (opened) => compareWithModel(opened, new MemoryStore(), steps)),
    );
    await fc.assert(property, { seed: 2_007, numRuns: 40 });
  });

  test.run();
}

async function withStore(open: () => Promise<OpenStore>, body: (opened: OpenStore) => Promise<void>): Promise<void> {
  const opened = await open();
  try {
    await body(opened);
  } finally {
    await opened.close();
  }
}
