/** The progress of a run: on a terminal one line that follows the rate; elsewhere one line per step. */
import type { Viewer } from '../run.ts';

const bars = '▁▂▃▄▅▆▇█';
const barCount = 32;

export function terminalViewer(out: NodeJS.WriteStream): Viewer {
  let what = '';
  let unit = '';
  let beganAt = 0;
  let plannedMs = 0;
  let last = { at: 0, things: 0 };
  let rates: number[] = [];
  const rewrite = (text: string) => out.isTTY && out.write(`\r\u001b[K${text.slice(0, Math.max(20, out.columns - 1))}`);
  return {
    begins: (name, load) => {
      what = name;
      unit = load.unit;
      beganAt = performance.now() + load.warmupMs;
      plannedMs = load.durationMs;
      last = { at: performance.now(), things: 0 };
      rates = [];
      if (out.isTTY) rewrite(`  ${what} …`);
      else out.write(`  ${what}\n`);
    },
    progress: (things) => {
      const now = performance.now();
      if (things < last.things) last = { at: last.at, things: 0 };
      const rate = ((things - last.things) * 1_000) / Math.max(1, now - last.at);
      last = { at: now, things };
      rates = [...rates, rate].slice(-barCount);
      const passed = (now - beganAt) / 1_000;
      // Nothing is counted during the warm-up.
      if (passed < 0) return void rewrite(`  ${what} · warming up`);
      const time = `${passed.toFixed(0)} of ${(plannedMs / 1_000).toFixed(0)} s`;
      rewrite(`  ${what} · ${time} · ${Math.round(rate).toLocaleString('en')} ${unit}/s ${spark(rates)}`);
    },
    ends: () => void rewrite(''),
  };
}

export const noViewer: Viewer = { begins: () => undefined, progress: () => undefined, ends: () => undefined };

function spark(rates: readonly number[]): string {
  const most = Math.max(1, ...rates);
  return rates.map((rate) => bars[Math.min(bars.length - 1, Math.floor((rate / most) * bars.length))]).join('');
}
