/** What is counted while an example runs. */

export interface Times {
  readonly transactions: number;
  readonly perS: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly mostMs: number;
  readonly kills: number;
  readonly moves: number;
}

export class Tally {
  kills = 0;
  /** No worker was ready to be killed. */
  missedKills = 0;
  moves = 0;
  readonly #latencies: number[] = [];

  add(ms: number): void {
    this.#latencies.push(ms);
  }

  get count(): number {
    return this.#latencies.length;
  }

  get text(): string {
    const faults: readonly (readonly [count: number, what: string])[] = [
      [this.kills, 'kills'],
      [this.moves, 'moves'],
    ];
    return faults.flatMap(([count, what]) => (count > 0 ? [`${count} ${what}`] : [])).join(' · ');
  }

  times(seconds: number): Times {
    const sorted = this.#latencies.sort((one, other) => one - other);
    const at = (share: number) =>
      Math.round((sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)] ?? 0) * 10) / 10;
    return {
      transactions: sorted.length,
      perS: Math.round(sorted.length / seconds),
      p50Ms: at(0.5),
      p99Ms: at(0.99),
      mostMs: at(1),
      kills: this.kills,
      moves: this.moves,
    };
  }
}
