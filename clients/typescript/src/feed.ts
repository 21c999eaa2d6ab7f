/** The feed: all changes in the order recorded, by questions that wait for news. */

import { backOff } from "./clock.ts";
import { asKnown, type Http } from "./http.ts";
import type { ChangesOptions, FeedChange, FeedEvent } from "./live.ts";
import { isFinal, ProblemError, StatusError } from "./problems.ts";
import { listMerchants } from "./requests.ts";
import type { components } from "./schema.ts";

type FeedPage = components["schemas"]["Feed"] & { readonly changes: readonly FeedChange[] };

const SPARE_SECONDS = 15;

/** Yield changes, gaps and failures until the signal. Raises what asking again cannot help. */
export async function* followChanges(http: Http, options: ChangesOptions): AsyncGenerator<FeedEvent, void> {
  const { clock } = http.settings;
  let cursor = options.after;
  for (let failures = 0; !options.signal?.aborted; ) {
    try {
      const page = await ask(http, options, cursor);
      failures = 0;
      if (!page.complete) yield { type: "gap", reason: "not-kept" };
      if (page.changes.length > 0) yield { type: "changes", changes: page.changes, cursor: page.next };
      cursor = page.next;
    } catch (thrown) {
      if (options.signal?.aborted) return;
      const error = asKnown(thrown);
      if (cursor !== undefined && error instanceof ProblemError && isGone(error.kind)) {
        cursor = undefined;
        yield { type: "gap", reason: error.kind };
        continue;
      }
      if (isFinal(error)) throw error;
      const asked = error instanceof StatusError ? (error.retryAfter ?? 0) * 1000 : 0;
      const retryInMs = Math.max(asked, backOff(failures++, clock));
      yield { type: "disconnected", error, retryInMs };
      await clock.sleep(retryInMs, options.signal).catch(() => undefined);
    }
  }
}

async function ask(http: Http, options: ChangesOptions, after: string | undefined): Promise<FeedPage> {
  const { merchantIds, limit, waitSeconds = 20, signal } = options;
  const query = {
    merchantId: listMerchants(merchantIds),
    limit: limit === undefined ? undefined : String(limit),
    after,
  };
  const headers = { prefer: `wait=${waitSeconds}` };
  const call = { path: "/v1/changes", query, headers, repeats: false, signal, deadlineSeconds: SPARE_SECONDS, waitSeconds };
  return (await http.call(call)).json as FeedPage;
}

function isGone(kind: string): kind is "feed-gone" | "history-gone" {
  return kind === "feed-gone" || kind === "history-gone";
}
