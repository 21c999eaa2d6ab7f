/** What a caller may ask for. */

export interface CallOptions {
  readonly signal?: AbortSignal;
  /** Seconds, instead of those of the client. */
  readonly deadlineSeconds?: number;
}

/** How old an answer may be. Without any, the gateway's policy holds. */
export interface DirectiveOptions extends CallOptions {
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
}

export interface ReadOptions extends DirectiveOptions {
  /** Wait for other content than this client got last, 1 to 25 s. It comes on top of the deadline. */
  readonly waitSeconds?: number;
}

/** Which rows of an account. */
interface RowOptions {
  readonly assets?: readonly string[];
  /** Only assets that are held. */
  readonly nonzero?: boolean;
}

export interface AccountOptions extends ReadOptions, RowOptions {}

/** The past has no directives: it is as it was. */
export interface PastOptions extends CallOptions, RowOptions {}

export interface ListOptions extends AccountOptions {
  /** Raise the problem `incomplete` if any part failed. */
  readonly require?: "complete";
}

/** As `ListOptions`, without waiting. */
export interface QueryOptions extends DirectiveOptions, RowOptions {
  readonly require?: "complete";
}

interface Paging {
  /** How many on a page: 1 to 1,000. */
  readonly limit?: number;
  /** `next` of the page before. */
  readonly after?: string;
}

export interface PageOptions extends ReadOptions, Paging {}

/** Pages of what has no directives: of the past, and of the list of merchants. */
export interface PlainPageOptions extends CallOptions, Paging {}

/** Which changes of an account: those found from `from` on and before `until` (RFC 3339). */
export interface ChangesQuery extends PlainPageOptions {
  readonly from?: string;
  readonly until?: string;
  readonly assets?: readonly string[];
}
