/** A mailbox of one reader: what it has not taken yet, with at most one part of each merchant, the newest. */

import type { WatchEvent } from "./live.ts";

/** Hold events for a slow reader. Memory is bounded by what is watched. */
export class Mailbox {
  #pending: WatchEvent[] = [];
  #wake: () => void = () => undefined;

  constructor(readonly left: AbortSignal) {
    left.addEventListener("abort", () => this.#wake(), { once: true });
  }

  /** Add an event. A part replaces an older one of its merchant, and says so in `skipped`. */
  put(event: WatchEvent): void {
    const older = this.#pending.findIndex((one) => replaces(event, one));
    const [replaced] = older < 0 ? [] : this.#pending.splice(older, 1);
    this.#pending.push(replaced === undefined ? event : counting(event, replaced));
    this.#wake();
  }

  /** Take the oldest event, waiting for one. Undefined as soon as the reader has left. */
  async take(): Promise<WatchEvent | undefined> {
    while (this.#pending.length === 0 && !this.left.aborted) {
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
    return this.left.aborted ? undefined : this.#pending.shift();
  }
}

function replaces(newer: WatchEvent, older: WatchEvent): boolean {
  if (newer.type !== older.type) return false;
  if (newer.type === "balances" && older.type === "balances") return newer.part.merchantId === older.part.merchantId;
  return true;
}

function counting(newer: WatchEvent, replaced: WatchEvent): WatchEvent {
  if (newer.type === "balances" && replaced.type === "balances") {
    const skipped = (newer.part.skipped ?? 0) + (replaced.part.skipped ?? 0) + 1;
    return { ...newer, part: { ...newer.part, skipped } };
  }
  const hidesReset = newer.type === "connected" && replaced.type === "connected" && newer.resumed === "complete";
  return hidesReset ? { ...newer, resumed: replaced.resumed } : newer;
}
