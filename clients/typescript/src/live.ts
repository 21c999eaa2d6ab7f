/** What moves: events of a stream, and changes of the feed. The gateway's pages on history and watching explain them. */

import type { TallygateError } from "./problems.ts";
import type { Change, Coverage, Part } from "./views.ts";

/** A part of a stream: whole, as in a batch. Replace what you have of this merchant by it. */
export type WatchedPart = Part & {
  /** The number of its content in its history. */
  readonly sequence?: number;
  /** Events that this newer one replaced. */
  readonly skipped?: number;
};

/** What the gateway says at the beginning of a stream. */
export interface Hello {
  /** All parts follow (`new`, `reset`), or those that changed meanwhile (`complete`). */
  readonly resumed: "new" | "complete" | "reset";
  readonly within: { readonly wanted: number; readonly expected: number };
  readonly merchants: number;
  readonly heartbeatSeconds: number;
  readonly endsAt: string;
}

/** The ages of all parts at a moment. */
export interface Heartbeat {
  readonly now: string;
  readonly coverage: Coverage;
  readonly oldestAsOf?: string;
  readonly newestAsOf?: string;
}

export type EndReason = "draining" | "rights" | "expired" | "lifetime" | "slow" | "problem";

/**
 * An event of `watch()`.
 *
 * From `disconnected` to the next `synced`, what you have may be out of date: show it so.
 */
export type WatchEvent =
  | ({ readonly type: "connected" } & Hello)
  | { readonly type: "balances"; readonly part: WatchedPart; readonly cursor: string | undefined }
  | { readonly type: "synced"; readonly coverage: Coverage; readonly cursor: string | undefined }
  | ({ readonly type: "heartbeat"; readonly cursor: string | undefined } & Heartbeat)
  | {
      readonly type: "disconnected";
      /** Why: the gateway's own reason, a silence, or an answer or a network that failed (`error`). */
      readonly reason: EndReason | "silent" | "failed";
      readonly error: TallygateError | undefined;
      /** Milliseconds until the next attempt. */
      readonly retryInMs: number;
    };

/** Whose balances to watch. */
export interface WatchOptions {
  readonly merchantIds: readonly number[] | "all";
  /** The upstream's aggregate too, as merchant 0. */
  readonly portfolio?: boolean;
  readonly assets?: readonly string[];
  /** The age in seconds that balances may reach: 5 to 600. */
  readonly within?: number;
  /** The cursor of the last event that you have. */
  readonly after?: string;
  readonly signal?: AbortSignal;
  /**
   * One connection for all tabs of a browser. By default so where the credential is text and the browser can.
   * For a credential that is a function, name whose it is: tabs with the same name share.
   */
  readonly share?: boolean | string;
}

/** A change in the feed: `epoch` and `sequence` identify it within its merchant. */
export type FeedChange = Change & Required<Pick<Change, "merchantId" | "epoch">>;

/** What `changes()` yields. After a `gap`, read the balances: changes before it cannot be known any more. */
export type FeedEvent =
  | {
      readonly type: "changes";
      readonly changes: readonly FeedChange[];
      /** Keep it, and give it as `after` to go on from here. */
      readonly cursor: string;
    }
  | { readonly type: "gap"; readonly reason: "not-kept" | "feed-gone" | "history-gone" }
  | { readonly type: "disconnected"; readonly error: TallygateError; readonly retryInMs: number };

/** Whose changes to follow. */
export interface ChangesOptions {
  readonly merchantIds: readonly number[] | "all";
  readonly after?: string;
  readonly limit?: number;
  /** Seconds that the gateway waits for news: 1 to 25. */
  readonly waitSeconds?: number;
  readonly signal?: AbortSignal;
}
