/** Judging: how whole and how fresh an answer is, by its body and its headers. */

import { makeAnswer, type About, type Answer, type Judgement } from "./answers.ts";
import type { Received } from "./http.ts";
import type { Anomaly, Coverage, Merchants } from "./views.ts";

interface Listing {
  readonly complete: boolean;
  readonly coverage: Coverage;
  readonly directoryStale?: boolean;
}

/** Judge an account: rows that could not be read are missing. */
export function judgeAccount<T extends { anomalies?: Anomaly[] }>(received: Received, body: T): Answer<T> {
  const isWhole = !body.anomalies?.some(({ kind }) => kind === "unreadable-asset");
  return makeAnswer<T, T>(body, about(received), { isWhole, isStale: isLate(received) }, covers(received));
}

/** Judge a view of many merchants by its coverage. */
export function judgeListing<T extends Listing, Whole extends T>(received: Received): Answer<T, Whole> {
  const body = received.json as T;
  const { stale, unavailable, partial = 0 } = body.coverage;
  const isStale = stale > 0 || body.directoryStale === true || isLate(received);
  const judged: Judgement = { isWhole: body.complete && unavailable + partial === 0, isStale };
  return makeAnswer<T, Whole>(body, about(received), judged);
}

/** Judge a page of the list of merchants. */
export function judgeMerchants(received: Received): Answer<Merchants> {
  const body = received.json as Merchants;
  const isStale = body.directoryStale === true;
  return makeAnswer<Merchants, Merchants>(body, about(received), { isWhole: true, isStale });
}

function about({ headers }: Received): About {
  const age = headers.get("age");
  return {
    ageSeconds: age === null ? undefined : Number(age),
    etag: headers.get("etag") ?? undefined,
    requestId: headers.get("x-request-id") ?? undefined,
  };
}

/** Say whether the gateway's own policy wants a newer answer (RFC 9211: a negative ttl). */
function isLate({ headers }: Received): boolean {
  const status = headers.get("cache-status") ?? "";
  return /;\s*ttl=-/.test(status) || /;\s*fwd=stale\b/.test(status);
}

function covers({ headers }: Received): string | undefined {
  return /;\s*fwd=stale\b.*;\s*detail=([\w-]+)/.exec(headers.get("cache-status") ?? "")?.[1];
}
