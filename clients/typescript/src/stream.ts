/** One stream: server-sent events, read until it ends, fails, or falls silent. */

import { createParser, type EventSourceMessage } from "eventsource-parser";

import { within, type Clock } from "./clock.ts";
import type { Call, Http } from "./http.ts";
import type { EndReason, Heartbeat, Hello, WatchEvent } from "./live.ts";

/** The last event of a stream. A new one may be opened after so many seconds. */
export interface End {
  readonly type: "end";
  readonly reason: EndReason;
  readonly retryAfter: number;
}

export type StreamEvent = Exclude<WatchEvent, { type: "disconnected" }> | End;

/** Nothing came for several heartbeats: the connection is dead, whatever the network says. */
export class Silence extends Error {}

const PATIENCE_MS = 30_000;
const HEARTBEATS = 3;

/**
 * Open a stream and yield its events.
 *
 * It reads on only when it is asked to: of what a slow reader misses, the gateway keeps the newest. Raises `Silence`,
 * problems, and what `fetch` raises. The connection is closed when the iterator is.
 */
export async function* readStream(http: Http, call: Call, signal?: AbortSignal): AsyncGenerator<StreamEvent, void> {
  const { clock } = http.settings;
  const own = new AbortController();
  const stop = (): void => own.abort(signal?.reason);
  signal?.throwIfAborted();
  signal?.addEventListener("abort", stop, { once: true });
  try {
    const response = await orSilence(PATIENCE_MS, own, clock, () => http.open(call, own.signal));
    const messages: EventSourceMessage[] = [];
    const parser = createParser({ onEvent: (message) => messages.push(message) });
    const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
    for (let patienceMs = PATIENCE_MS; ; ) {
      const { done, value } = await orSilence(patienceMs, own, clock, () => reader.read());
      if (done) return;
      parser.feed(value);
      for (const message of messages.splice(0)) {
        const event = read(message);
        if (event === undefined) continue;
        if (event.type === "connected") patienceMs = event.heartbeatSeconds * HEARTBEATS * 1000;
        yield event;
      }
    }
  } finally {
    signal?.removeEventListener("abort", stop);
    own.abort();
  }
}

/** Wait for something, and close the connection with `Silence` if it takes too long. */
function orSilence<T>(limitMs: number, own: AbortController, clock: Clock, work: () => Promise<T>): Promise<T> {
  return within(limitMs, own.signal, clock, (limit) => {
    return new Promise<T>((resolve, reject) => {
      limit.addEventListener("abort", () => {
        const reason: unknown = own.signal.aborted ? own.signal.reason : new Silence("Nothing came for too long.");
        own.abort(reason);
        reject(reason);
      });
      work().then(resolve, reject);
    });
  });
}

/** Read an event, or undefined if it is none that this version knows. */
function read({ event, id, data }: EventSourceMessage): StreamEvent | undefined {
  const body: unknown = JSON.parse(data);
  switch (event) {
    case "hello":
      return { type: "connected", ...(body as Hello) };
    case "balances":
      return { type: "balances", part: body as Extract<StreamEvent, { type: "balances" }>["part"], cursor: id };
    case "synced":
      return { type: "synced", ...(body as Pick<Heartbeat, "coverage">), cursor: id };
    case "heartbeat":
      return { type: "heartbeat", ...(body as Heartbeat), cursor: id };
    case "end":
      return { type: "end", ...(body as Omit<End, "type">) };
    default:
      return undefined;
  }
}
