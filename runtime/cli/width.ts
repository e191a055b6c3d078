/**
 * How many columns of a terminal a text takes: two for East Asian wide characters and emoji, none for marks that combine.
 */
const segmenter = new Intl.Segmenter();
const narrow = /^[\x20-\x7e]*$/;
const wide =
  /^[\u1100-\u115f\u2e80-\u303e\u3041-\u33ff\u3400-\u4dbf\u4e00-\u9fff\ua000-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{20000}-\u{3fffd}]|^\p{Emoji_Presentation}|^\p{Emoji}\ufe0f/u;

/** Styles take no column. */
function unstyled(text: string): string {
  const [first = '', ...rest] = text.split('\x1b[');
  return first + rest.map((part) => part.slice(part.indexOf('m') + 1)).join('');
}

export function widthOf(styled: string): number {
  if (narrow.test(styled)) return styled.length;
  const text = unstyled(styled);
  if (narrow.test(text)) return text.length;
  let width = 0;
  for (const { segment } of segmenter.segment(text)) width += segmentWidth(segment);
  return width;
}

function segmentWidth(segment: string): number {
  return wide.test(segment) ? 2 : 1;
}

/** The start of a text that fits, with an ellipsis where something is left out. */
export function fitted(text: string, width: number): string {
  if (text.length <= width && narrow.test(text)) return text;
  if (widthOf(text) <= width) return text;
  let result = '';
  let left = width - 1;
  for (const { segment } of segmenter.segment(text)) {
    left -= segmentWidth(segment);
    if (left < 0) break;
    result += segment;
  }
  return `${result}…`;
}

export function padded(text: string, width: number, side: 'left' | 'right' = 'left'): string {
  const space = ' '.repeat(Math.max(0, width - widthOf(text)));
  return side === 'left' ? text + space : space + text;
}

/** Words in lines of that width; a longer word has a line of its own. */
export function wrapped(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const last = lines.at(-1);
    if (last !== undefined && widthOf(last) + 1 + widthOf(word) <= width) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}
