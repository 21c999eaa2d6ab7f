/** What a caller may ask for. */

/** How old an answer may be, and how long you wait for it. Without any, the gateway's policy holds. */
export interface ReadOptions {
  /** At most so many seconds old. */
  readonly maxAge?: number;
  /** Stale by at most so many seconds; `true`: of any staleness. */
  readonly maxStale?: number | true;
  /** Still fresh in so many seconds. */
  readonly minFresh?: number;
  /** From a call of the upstream that began after this request arrived. */
  readonly noCache?: boolean;
  /** Stored, or the problem `not-cached`. */
  readonly onlyIfCached?: boolean;
  readonly signal?: AbortSignal;
  /** Seconds, instead of those of the client. */
  readonly deadlineSeconds?: number;
}

/** Which rows of an account. */
export interface AccountOptions extends ReadOptions {
  readonly assets?: readonly string[];
  /** Only assets that are held. */
  readonly nonzero?: boolean;
}

/** The past has no directives: it is as it was. */
export type PastOptions = Pick<AccountOptions, "assets" | "nonzero" | "signal" | "deadlineSeconds">;

export interface ListOptions extends AccountOptions {
  /** Raise the problem `incomplete` if any part failed. */
  readonly require?: "complete";
}

export interface PageOptions extends ReadOptions {
  /** How many on a page: 1 to 1,000. */
  readonly limit?: number;
  /** `next` of the page before. */
  readonly after?: string;
}

/** Which changes of an account: those found from `from` on and before `until` (RFC 3339). */
export interface ChangesQuery extends PageOptions {
  readonly from?: string;
  readonly until?: string;
  readonly assets?: readonly string[];
}
