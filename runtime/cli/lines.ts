/** Lines of a stream of another process, whole, as they come. */
import type { Readable } from 'node:stream';

/** A longer line is given in pieces: nobody's output is gathered without bound. */
const lineLengthMax = 65_536;

export function linesOf(stream: Readable, tell: (line: string) => void): void {
  let text = '';
  stream.setEncoding('utf8');
  stream.on('data', (chunk: string) => {
    text += chunk;
    const lines = text.split('\n');
    text = lines.pop() ?? '';
    for (const line of lines) tell(line);
    if (text.length <= lineLengthMax) return;
    tell(text);
    text = '';
  });
  stream.on('end', () => {
    if (text !== '') tell(text);
  });
}
