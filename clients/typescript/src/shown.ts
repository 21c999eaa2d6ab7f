/** What a stream has shown so far, for a tab that comes later. */

import type { WatchEvent } from "./live.ts";

/** Keep the newest of each event. */
export class Shown {
  readonly #parts = new Map<number, Extract<WatchEvent, { type: "balances" }>>();
  #first: WatchEvent | undefined;
  #synced: WatchEvent | undefined;
  #lost: WatchEvent | undefined;
  /** The cursor of the last event that had one. */
  cursor: string | undefined;

  add(event: WatchEvent): void {
    if ("cursor" in event) this.cursor = event.cursor ?? this.cursor;
    if (event.type === "balances") this.#parts.set(event.part.merchantId, event);
    else if (event.type === "synced") this.#synced = event;
    else if (event.type === "disconnected") this.#lost = event;
    else if (event.type === "connected") {
      if (event.resumed !== "complete") this.#parts.clear();
      this.#first = event;
      this.#synced = this.#lost = undefined;
    }
  }

  /** Return events that show the same to somebody who has nothing yet. */
  events(): WatchEvent[] {
    const first: WatchEvent[] =
      this.#first?.type === "connected" ? [{ ...this.#first, resumed: "new" }] : [];
    return [...first, ...this.#parts.values(), ...[this.#synced, this.#lost].filter((one) => one !== undefined)];
  }
}
