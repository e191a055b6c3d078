/**
 * One page over many sorted sets, one for each home, in their common order: addresses by type.
 *
 * Owns the amount fetched for it. A whole page from each home would fetch a page per home. A share of the page is nearly always
 * enough, and homes that fall short are read again.
 */
import type { Address } from '../../../core/message.ts';
import { compareUtf8 } from '../memory.ts';

/** A home's addresses after `after`, in order; fewer than `limit`: there are no more. */
export type FetchAddresses = (home: number, after: Address | undefined, limit: number) => Promise<readonly Address[]>;

interface Home {
  readonly home: number;
  readonly found: Address[];
  isAtEnd: boolean;
}

const shareMin = 16;

export async function firstAddresses(
  fetch: FetchAddresses,
  { homes, after, limit }: { homes: number; after: Address | undefined; limit: number },
): Promise<Address[]> {
  const share = Math.min(limit, Math.max(shareMin, Math.ceil((2 * limit) / homes)));
  const all = Array.from({ length: homes }, (_, home): Home => ({ home, found: [], isAtEnd: false }));
  for (let short = all; ; ) {
    await Promise.all(short.map((one) => fetchMore(fetch, one, { after, limit: share })));
    const page = all
      .flatMap(({ found }) => found)
      .sort(compareUtf8)
      .slice(0, limit);
    short = all.filter((one) => mayHaveMore(one, page.length < limit ? undefined : page.at(-1)));
    if (short.length === 0) return page;
  }
}

async function fetchMore(
  fetch: FetchAddresses,
  one: Home,
  { after, limit }: { after: Address | undefined; limit: number },
): Promise<void> {
  const more = await fetch(one.home, one.found.at(-1) ?? after, limit);
  one.found.push(...more);
  one.isAtEnd = more.length < limit;
}

/** Whether a home may contain more addresses of a page that ends with `last` (undefined: the page is not full). */
function mayHaveMore({ found, isAtEnd }: Home, last: Address | undefined): boolean {
  return !isAtEnd && (last === undefined || compareUtf8(found.at(-1) ?? '', last) < 0);
}
