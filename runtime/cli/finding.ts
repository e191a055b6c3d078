/** The findings of `doctor`, one per check: fine, worth knowing, or wrong. */
export interface Finding {
  readonly check: string;
  readonly verdict: 'ok' | 'note' | 'wrong';
  readonly text: string;
  readonly figures?: object;
}

const nodeLeast = [20, 19] as const;

export const ok = (check: string, text: string, figures?: object): Finding => ({
  check,
  verdict: 'ok',
  text,
  ...(figures && { figures }),
});
export const note = (check: string, text: string, figures?: object): Finding => ({
  check,
  verdict: 'note',
  text,
  ...(figures && { figures }),
});
export const wrong = (check: string, text: string, figures?: object): Finding => ({
  check,
  verdict: 'wrong',
  text,
  ...(figures && { figures }),
});

export function nodeVersion(): Finding {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  const isEnough = major > nodeLeast[0] || (major === nodeLeast[0] && minor >= nodeLeast[1]);
  const figures = { version: process.versions.node };
  return isEnough
    ? ok('node', process.versions.node, figures)
    : wrong('node', `${process.versions.node}; Skerry needs ${nodeLeast.join('.')} or later`, figures);
}

export const plural = (count: number, one: string, many: string) =>
  `${count.toLocaleString('en')} ${count === 1 ? one : many}`;
