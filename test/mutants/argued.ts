/**
 * Slips that nothing notices, and why that is right: what they change is the same in effect, or costs a little and breaks no
 * promise. One that is not here and survives is a missing test.
 */
export interface Argued {
  readonly file: string;
  /** The line, trimmed. */
  readonly text: string;
  /** Which slips of it; none: all. */
  readonly what?: readonly string[];
  readonly because: string;
}

export const argued: readonly Argued[] = [
  {
    file: 'runtime/closing.ts',
    text: 'if (inbound.closedAt > 0) return entity.changes.records.has(name) ? undefined : this.#say(activation, closed);',
    what: ['1 for 0'],
    because: 'it is a date or 0, never 1',
  },
  {
    file: 'core/activity.ts',
    text: 'return { name: `${name}-${(opened.session - start).toString(36)}`, start: opened.session, opened };',
    what: ['+ for -'],
    because: 'the name is only to differ from all others, and does',
  },
];
