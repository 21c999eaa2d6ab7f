/** Watching: streams one after the other, each going on where the last one stopped. */

import { backOff } from "./clock.ts";
import { asKnown, type Call, type Http } from "./http.ts";
import type { WatchEvent, WatchOptions } from "./live.ts";
import { isFinal, StatusError } from "./problems.ts";
import { listAssets, listMerchants } from "./requests.ts";
import { readStream, Silence } from "./stream.ts";
import { browserTabs, nameOf, watchTogether } from "./tabs.ts";

/** Watch until the signal: together with other tabs where that is wanted and can be. */
export async function* watch(http: Http, options: WatchOptions, tabs = browserTabs()): AsyncGenerator<WatchEvent, void> {
  const owner = ownerOf(http, options);
  if (tabs === undefined || owner === undefined || options.after !== undefined) {
    return yield* watchAlone(http, options, options.after, options.signal);
  }
  const name = await nameOf(http.urlOf(callOf(options, undefined)), owner);
  yield* watchTogether(tabs, name, http.settings.clock, options.signal, (cursor, signal) =>
    watchAlone(http, options, cursor, signal),
  );
}

/** Watch by a connection of our own, from a cursor on. */
export async function* watchAlone(
  http: Http,
  options: WatchOptions,
  cursor: string | undefined,
  signal: AbortSignal | undefined,
): AsyncGenerator<WatchEvent, void> {
  const { clock } = http.settings;
  for (let failures = 0; !signal?.aborted; ) {
    let lost: Pick<Extract<WatchEvent, { type: "disconnected" }>, "reason" | "error">;
    let askedMs = 0;
    try {
      lost = { reason: "failed", error: undefined };
      for await (const event of readStream(http, callOf(options, cursor), signal)) {
        if (event.type === "end") {
          lost = { reason: event.reason, error: undefined };
          askedMs = event.retryAfter * 1000;
          break;
        }
        if ("cursor" in event) {
          failures = 0;
          cursor = event.cursor ?? cursor;
        }
        yield event;
      }
    } catch (thrown) {
      if (signal?.aborted) return;
      const isSilent = thrown instanceof Silence;
      const error = isSilent ? undefined : asKnown(thrown);
      if (error !== undefined && isFinal(error)) throw error;
      lost = { reason: isSilent ? "silent" : "failed", error };
      if (error instanceof StatusError) askedMs = (error.retryAfter ?? 0) * 1000;
    }
    const retryInMs = askedMs > 0 ? askedMs + clock.random() * 500 : backOff(failures, clock);
    failures++;
    yield { type: "disconnected", ...lost, retryInMs };
    await clock.sleep(retryInMs, signal).catch(() => undefined);
  }
}

function callOf(options: WatchOptions, cursor: string | undefined): Call {
  const { merchantIds, portfolio, within } = options;
  const query = {
    merchantId: listMerchants(merchantIds),
    portfolio: portfolio ? "true" : undefined,
    assets: listAssets(options)["assets"],
    within: within === undefined ? undefined : String(within),
  };
  const headers: Record<string, string> = { accept: "text/event-stream" };
  if (cursor !== undefined) headers["last-event-id"] = cursor;
  return { path: "/v1/watch", query, headers, repeats: true };
}

/** Return whose balances these are, by which tabs find each other; undefined if they must not. */
function ownerOf({ settings: { credential } }: Http, { share = true }: WatchOptions): string | undefined {
  if (typeof share === "string") return share;
  return share && typeof credential === "string" ? credential : undefined;
}

