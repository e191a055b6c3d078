/** Paths of the servers that tests start. */
import * as programs from '../../runtime/cli/programs.ts';

export function pathOf(program: string): string {
  const found = programs.pathOf(program);
  if (found === undefined) throw new Error(`${program} is not installed: 'npm run servers' does that`);
  return found;
}
