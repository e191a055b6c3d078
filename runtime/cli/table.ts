/**
 * Tables: columns as wide as their content; on a narrow terminal the flexible ones shrink. Pure.
 *
 * The last column is never padded, so that keys of any length stand there without breaking the others.
 */
import { fitted, padded, widthOf } from './width.ts';

export interface Column {
  readonly title: string;
  readonly isNumber?: boolean;
  /** May be cut short where the terminal is narrow; never what one must be able to copy. */
  readonly isFlexible?: boolean;
}

const gap = '  ';
const flexibleMin = 10;

/** The titles and a line per row. */
export function tableLines(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  { width }: { width: number },
): string[] {
  const widths = columns.map((column, index) =>
    rows.reduce((most, row) => Math.max(most, widthOf(row[index] ?? '')), column.title.length),
  );
  shrink(columns, widths, width);
  const lineOf = (cells: readonly string[]) =>
    columns
      .map(({ isNumber, isFlexible }, index) => {
        const size = widths[index] ?? 0;
        const cell = isFlexible ? fitted(cells[index] ?? '', size) : (cells[index] ?? '');
        if (isNumber) return padded(cell, size, 'right');
        return index === columns.length - 1 ? cell : padded(cell, size);
      })
      .join(gap)
      .trimEnd();
  return [lineOf(columns.map(({ title }) => title)), ...rows.map(lineOf)];
}

/** Take what is too much from the widest flexible column, until it fits or all are at their least. */
function shrink(columns: readonly Column[], widths: number[], width: number): void {
  const total = widths.reduce((sum, one) => sum + one, 0) + gap.length * (columns.length - 1);
  if (!Number.isFinite(width)) return;
  for (let excess = total - width; excess > 0; excess -= 1) {
    let widest = -1;
    for (const [index, column] of columns.entries()) {
      const size = widths[index] ?? 0;
      if (column.isFlexible && size > flexibleMin && size > (widths[widest] ?? 0)) widest = index;
    }
    if (widest < 0) return;
    widths[widest] = (widths[widest] ?? 0) - 1;
  }
}
