/** What the outside client can be told to do. */
export type Order =
  | { readonly what: 'start' | 'notices' | 'stop' | 'check' | 'pauses' | 'latencies' | 'counts' | 'places' }
  /** A fault is about to meet the keys of a worker, or all. */
  | { readonly what: 'mark'; readonly name: string; readonly worker?: string }
  /** It happened at `faultAt`; whatever is asked from `completeAt` on cannot be answered by what it ended. */
  | { readonly what: 'date'; readonly name: string; readonly faultAt: number; readonly completeAt: number }
  | { readonly what: 'recovery'; readonly name: string };
