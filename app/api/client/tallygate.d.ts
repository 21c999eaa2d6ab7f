declare const amount: unique symbol;
/**
 * An exact decimal number as text, without exponent or trailing zeros.
 *
 * The brand keeps other text from being taken for an amount. Do not give one to `Number`: it would round.
 */
export type Amount = string & {
	readonly [amount]: true;
};
/** Answers: what was read, under a name that says how far it can be trusted. */
/** What every answer says about itself. */
export interface About {
	/** Seconds since the upstream said the oldest part of it, when it was received. Undefined where nothing has an age. */
	readonly ageSeconds: number | undefined;
	/** The tag of the content, without its times. */
	readonly etag: string | undefined;
	readonly requestId: string | undefined;
}
/** All of it is there, and fresh by the gateway's policy. */
export interface FreshAnswer<T> extends About {
	readonly state: "fresh";
	readonly value: T;
}
/** All of it is there, but older than the gateway's policy wants. `covers` names a failure that it stands in for. */
export interface StaleAnswer<T> extends About {
	readonly state: "stale";
	readonly staleValue: T;
	readonly covers: string | undefined;
}
/** Some of it is missing, or may be; the rest may be stale. */
export interface PartialAnswer<T> extends About {
	readonly state: "partial";
	readonly partialValue: T;
	readonly isStale: boolean;
}
/**
 * An answer. Only a fresh and whole one has a `value`.
 *
 * Look at its `state`, or write what else you accept: `acceptStale` or `acceptPartial`.
 */
export type Answer<T, Whole = T> = FreshAnswer<Whole> | StaleAnswer<Whole> | PartialAnswer<T>;
/** Return a whole value that is at most so many seconds old. Raises `TooOldError`. */
export declare function acceptStale<T>(answer: FreshAnswer<T> | StaleAnswer<T>, maxAgeSeconds: number): T;
/** Return a value of which parts may be missing, and that is at most so many seconds old. Raises `TooOldError`. */
export declare function acceptPartial<T, Whole extends T>(answer: Answer<T, Whole>, maxAgeSeconds: number): T;
/** Time and chance, as arguments: tests give others. */
/** Where the client takes time and chance from. Times are in milliseconds; `random` is from 0 up to 1. */
export interface Clock {
	now(): number;
	random(): number;
	/** Wait. Rejects with the signal's reason as soon as it is aborted. */
	sleep(milliseconds: number, signal?: AbortSignal): Promise<void>;
}
interface components {
	schemas: {
		/** Account */
		Account: {
			/** @description The merchant, as the upstream numbers it; 0 for all together. */
			merchantId: number;
			canDeposit: boolean;
			/**
			 * @description RFC 3339, UTC, milliseconds.
			 * @example 2026-11-23T10:00:00.123Z
			 */
			asOf: string;
			balances: components["schemas"]["Row"][];
			anomalies?: components["schemas"]["Anomaly"][];
		};
		/** Alive */
		Alive: {
			/**
			 * @default alive
			 * @constant
			 */
			status?: "alive";
		};
		/** Amounts */
		Amounts: {
			/**
			 * Format: decimal
			 * @example 1000
			 * @example 0.00000001
			 */
			total: Amount;
			/**
			 * Format: decimal
			 * @example 1000
			 * @example 0.00000001
			 */
			free: Amount;
			/**
			 * Format: decimal
			 * @example 1000
			 * @example 0.00000001
			 */
			locked: Amount;
		};
		/** Anomaly */
		Anomaly: {
			assetId?: string;
			kind: components["schemas"]["AnomalyKind"];
			rows?: number;
		};
		/**
		 * AnomalyKind
		 * @description What is odd about a row. It is reported, never corrected.
		 * @enum {string}
		 */
		AnomalyKind: "total-mismatch" | "negative-amount" | "duplicate-asset" | "unreadable-asset";
		/** Asset */
		Asset: {
			/** @description The merchant, as the upstream numbers it; 0 for all together. */
			merchantId: number;
			/**
			 * @description RFC 3339, UTC, milliseconds.
			 * @example 2026-11-23T10:00:00.123Z
			 */
			asOf: string;
			assetId: string;
			asset: string;
			assetName: string;
			/**
			 * Format: decimal
			 * @example 1000
			 * @example 0.00000001
			 */
			total: Amount;
			/**
			 * Format: decimal
			 * @example 1000
			 * @example 0.00000001
			 */
			free: Amount;
			/**
			 * Format: decimal
			 * @example 1000
			 * @example 0.00000001
			 */
			locked: Amount;
		};
		/**
		 * BatchQuestion
		 * @description Which merchants.
		 */
		BatchQuestion: {
			/** @description Merchant ids, as numbers or as text. */
			merchantIds: (string | number)[];
		};
		/** Batch */
		Batch: {
			complete: boolean;
			coverage: components["schemas"]["Coverage"];
			/**
			 * @description RFC 3339, UTC, milliseconds.
			 * @example 2026-11-23T10:00:00.123Z
			 */
			oldestAsOf?: string;
			/**
			 * @description RFC 3339, UTC, milliseconds.
			 * @example 2026-11-23T10:00:00.123Z
			 */
			newestAsOf?: string;
			/** @default [] */
			merchants: components["schemas"]["Part"][];
		};
		/** Between */
		Between: {
			/**
			 * @description RFC 3339, UTC, milliseconds.
			 * @example 2026-11-23T10:00:00.123Z
			 */
			until: string;
			/**
			 * @description RFC 3339, UTC, milliseconds.
			 * @example 2026-11-23T10:00:00.123Z
			 */
			after?: string;
		};
		/** Breakdown */
		Breakdown: components["schemas"]["WholeBreakdown"] | components["schemas"]["PartialBreakdown"];
		/** Change */
		Change: {
			/** @description The merchant, as the upstream numbers it; 0 for all together. */
			merchantId?: number;
			epoch?: string;
			/** @description Of this content, counted within the account's epoch. */
			sequence: number;
			/** @description The first look of an epoch, which is no change. */
			first?: boolean;
			observedBetween: components["schemas"]["Between"];
			canDepositBefore?: boolean;
			canDepositAfter?: boolean;
			/** @description The upstream knew no such merchant then. */
			absent?: boolean;
			rows: components["schemas"]["RowChange"][];
		};
		/** Changes */
		Changes: {
			/** @description The merchant, as the upstream numbers it; 0 for all together. */
			merchantId: number;
			epoch: string;
			/** @description Since when every change that looks found is kept. */
			keptFrom: string;
			changes: components["schemas"]["Change"][];
			/** @description The `after` of what follows. */
			next?: string;
		};
		/** Coverage */
		Coverage: {
			expected: number;
			fresh: number;
			stale: number;
			unavailable: number;
			/**
			 * @description Of the known ones, how many lack a row: see `anomalies`.
			 * @default 0
			 */
			partial?: number;
		};
		/** FailedPart */
		FailedPart: {
			/** @description The merchant, as the upstream numbers it. */
			merchantId: number;
			problem: components["schemas"]["PartProblem"];
		};
		/** Feed */
		Feed: {
			epoch: string;
			/** @description Since when every change that looks found is kept. */
			keptFrom: string;
			/** @description False if changes after the cursor before are not kept any more. */
			complete: boolean;
			changes: components["schemas"]["Change"][];
			/** @description The `after` of what follows. */
			next: string;
		};
		/** Finding */
		Finding: {
			assetId: string;
			verdict: components["schemas"]["Verdict"];
			difference?: components["schemas"]["Sums"];
			aggregate?: components["schemas"]["Sums"];
			sum?: components["schemas"]["Sums"];
			partialSum?: components["schemas"]["Sums"];
			/** @default 0 */
			merchants?: number;
		};
		/** Holder */
		Holder: {
			/** @description The merchant, as the upstream numbers it. */
			merchantId: number;
			/** @description In the breakdown and for holders, where the upstream's directory has one. */
			merchantName?: string;
			/** @enum {string} */
			status: "fresh" | "stale";
			/**
			 * @description RFC 3339, UTC, milliseconds.
			 * @example 2026-11-23T10:00:00.123Z
			 */
			asOf: string;
			/**
			 * Format: decimal
			 * @example 1000
			 * @example 0.00000001
			 */
			total: Amount;
			/**
			 * Format: decimal
			 * @example 1000
			 * @example 0.00000001
			 */
			free: Amount;
			/**
			 * Format: decimal
			 * @example 1000
			 * @example 0.00000001
			 */
			locked: Amount;
			/**
			 * Format: decimal
			 * @description Of 1, to 12 decimals.
			 * @example 1000
			 * @example 0.00000001
			 */
			share?: Amount;
		};
		/** Holders */
		Holders: {
			assetId: string;
			complete: boolean;
			coverage: components["schemas"]["Coverage"];
			/** @description When the upstream listed the merchants, RFC 3339 in UTC; missing where they are configured. */
			directoryAsOf?: string;
			/**
			 * @description That list could not be read again in time: merchants that came since are not in it.
			 * @default false
			 */
			directoryStale?: boolean;
			/** @description Pages of one version show one moment. */
			version: string;
			/**
			 * @description RFC 3339, UTC, milliseconds.
			 * @example 2026-11-23T10:00:00.123Z
			 */
			oldestAsOf?: string;
			/**
			 * @description RFC 3339, UTC, milliseconds.
			 * @example 2026-11-23T10:00:00.123Z
			 */
			newestAsOf?: string;
			/** @description For callers who may read all merchants; so in the Sweep header. */
			sweep?: components["schemas"]["Sweep"];
			total?: components["schemas"]["Total"];
			partialTotal?: components["schemas"]["Total"];
			noShares?: components["schemas"]["NoShares"];
			holders: components["schemas"]["Holder"][];
			/** @description Send it as `after` for the page that follows, of the same version. */
			next?: string;
		};
		/** Me */
		Me: {
			name: string;
			/**
			 * @description What the credential is.
			 * @enum {string}
			 */
			source: "key" | "token";
			/** @description The merchants that you may read, or `all` there are. */
			merchants: number[] | "all";
			/** @description Whether you may read all merchants together. */
			portfolio: boolean;
			quota: components["schemas"]["Quota"];
			/**
			 * @description When the key or the token ends; left out if it does not.
			 * @example 2027-05-31T22:00:00.000Z
			 */
			until?: string;
		};
		/** Merchant */
		Merchant: {
			/** @description The merchant, as the upstream numbers it; 0 for all together. */
			merchantId: number;
			merchantName?: string;
		};
		/** Merchants */
		Merchants: {
			merchants: components["schemas"]["Merchant"][];
			/** @description When the upstream listed the merchants, RFC 3339 in UTC; missing where they are configured. */
			directoryAsOf?: string;
			/**
			 * @description That list could not be read again in time: merchants that came since are not in it.
			 * @default false
			 */
			directoryStale?: boolean;
			/** @description The `after` of the next page, if there is one. */
			next?: string;
		};
		/** Moved */
		Moved: {
			/** @description What is older is fetched before it is served. */
			movedAt: string;
			/** @description How many merchants were named. */
			merchants: number;
		};
		/**
		 * NoShares
		 * @description Why there are no shares.
		 * @enum {string}
		 */
		NoShares: "incomplete" | "negative-amount" | "zero-total";
		/** PartProblem */
		PartProblem: {
			/** @description A path of this service that explains this kind of problem. */
			type: string;
			title: string;
			status: number;
			detail: string;
			/** @description Seconds. */
			retryAfter?: number;
		};
		/** Part */
		Part: components["schemas"]["KnownPart"] | components["schemas"]["MissingPart"];
		/** PastBreakdown */
		PastBreakdown: {
			/**
			 * @description RFC 3339, UTC, milliseconds.
			 * @example 2026-11-23T10:00:00.123Z
			 */
			at: string;
			complete: boolean;
			coverage: components["schemas"]["PastCoverage"];
			/** @description When the upstream listed the merchants, RFC 3339 in UTC; missing where they are configured. */
			directoryAsOf?: string;
			/**
			 * @description That list could not be read again in time: merchants that came since are not in it.
			 * @default false
			 */
			directoryStale?: boolean;
			/** @description Pages of one version show one moment. */
			version?: string;
			totals?: components["schemas"]["Total"][];
			partialTotals?: components["schemas"]["Total"][];
			merchants?: components["schemas"]["PastPart"][];
			/** @description Send it as `after` for the page that follows, of the same version. */
			next?: string;
		};
		/** PastCoverage */
		PastCoverage: {
			expected: number;
			seen: number;
			between: number;
			unavailable: number;
			/**
			 * @description Of the known ones, how many lack a row: see `anomalies`.
			 * @default 0
			 */
			partial?: number;
		};
		/** PastPart */
		PastPart: {
			/** @description The merchant, as the upstream numbers it. */
			merchantId: number;
			/** @description In the breakdown and for holders, where the upstream's directory has one. */
			merchantName?: string;
			/** @enum {string} */
			certainty: "seen" | "between" | "unavailable";
			/**
			 * @description RFC 3339, UTC, milliseconds.
			 * @example 2026-11-23T10:00:00.123Z
			 */
			asOf?: string;
			/** @description What looks found. */
			holds?: {
				[key: string]: string;
			};
			looks?: number;
			longestGapSeconds?: number;
			/** @description Of this content, counted within the account's epoch. */
			sequence?: number;
			epoch?: string;
			canDeposit?: boolean;
			balances?: components["schemas"]["Row"][];
			anomalies?: components["schemas"]["Anomaly"][];
			problem?: components["schemas"]["PartProblem"];
		};
		/** Past */
		Past: {
			/** @description The merchant, as the upstream numbers it; 0 for all together. */
			merchantId: number;
			/**
			 * @description RFC 3339, UTC, milliseconds.
			 * @example 2026-11-23T10:00:00.123Z
			 */
			at: string;
			/**
			 * @description `seen`: looks before and after said so. `between`: the last look before said so.
			 * @enum {string}
			 */
			certainty: "seen" | "between";
			/**
			 * @description RFC 3339, UTC, milliseconds.
			 * @example 2026-11-23T10:00:00.123Z
			 */
			asOf: string;
			/** @description What looks found. */
			holds: {
				[key: string]: string;
			};
			/** @description How many looks found this content. */
			looks: number;
			/** @description Between two of them. */
			longestGapSeconds: number;
			/** @description Of this content, counted within the account's epoch. */
			sequence: number;
			epoch: string;
			canDeposit: boolean;
			balances: components["schemas"]["Row"][];
			anomalies?: components["schemas"]["Anomaly"][];
		};
		/** Problem */
		Problem: {
			/** @description A path of this service that explains this kind of problem. */
			type: string;
			title: string;
			status: number;
			detail: string;
			/** @description The path that was asked for. */
			instance: string;
			requestId: string;
			/** @description Seconds, as in the Retry-After header. */
			retryAfter?: number;
			/** @description Since when the past is known. */
			keptFrom?: string;
			/** @description Each part that is missing. */
			failed?: components["schemas"]["FailedPart"][];
		};
		/** Quota */
		Quota: {
			/** @description Requests at the same time. */
			concurrency: number;
			/** @description Requests a second; left out if unlimited. */
			rate?: number;
		};
		/** Readiness */
		Readiness: {
			/** @enum {string} */
			status: "ready" | "not ready" | "draining";
			callers: number;
			token: components["schemas"]["TokenState"];
			/** @enum {string} */
			redis: "available" | "unavailable";
			/** @description Of the token, where that is known. */
			tokenSecondsLeft?: number;
			/** @description Why the token is refused. */
			reason?: string;
		};
		/** Reconciliation */
		Reconciliation: {
			id: string;
			state: components["schemas"]["State"];
			/**
			 * @description RFC 3339, UTC, milliseconds.
			 * @example 2026-11-23T10:00:00.123Z
			 */
			startedAt: string;
			/** @description A difference is looked at again before it is called a mismatch. */
			look: number;
			expected: number;
			read: number;
			missing: number;
			/**
			 * @description The missing ones: the first 100.
			 * @default []
			 */
			missingMerchants?: number[];
			/**
			 * @description RFC 3339, UTC, milliseconds.
			 * @example 2026-11-23T10:00:00.123Z
			 */
			finishedAt?: string;
			detail?: string;
			verdicts?: {
				[key: string]: number;
			};
			assets?: components["schemas"]["Finding"][];
		};
		/** Row */
		Row: {
			assetId: string;
			asset: string;
			assetName: string;
			/**
			 * Format: decimal
			 * @example 1000
			 * @example 0.00000001
			 */
			total: Amount;
			/**
			 * Format: decimal
			 * @example 1000
			 * @example 0.00000001
			 */
			free: Amount;
			/**
			 * Format: decimal
			 * @example 1000
			 * @example 0.00000001
			 */
			locked: Amount;
		};
		/** RowChange */
		RowChange: {
			assetId: string;
			asset: string;
			assetName: string;
			before?: components["schemas"]["Amounts"];
			after?: components["schemas"]["Amounts"];
			change?: components["schemas"]["Amounts"];
		};
		/**
		 * State
		 * @description How a job is.
		 * @enum {string}
		 */
		State: "running" | "done" | "failed" | "lost";
		/** Sums */
		Sums: {
			/**
			 * Format: decimal
			 * @example 1000
			 * @example 0.00000001
			 */
			total: Amount;
			/**
			 * Format: decimal
			 * @example 1000
			 * @example 0.00000001
			 */
			free: Amount;
			/**
			 * Format: decimal
			 * @example 1000
			 * @example 0.00000001
			 */
			locked: Amount;
		};
		/**
		 * SweepState
		 * @description How the sweep is: `idle` without demand, `starved` if entries get too old at the rate that it reaches.
		 * @enum {string}
		 */
		SweepState: "running" | "idle" | "starved";
		/** Sweep */
		Sweep: {
			state: components["schemas"]["SweepState"];
			/** @description Until every merchant is known, about. */
			secondsToWhole: number;
			/** @description What a round over all merchants takes, about, at the whole rate that is reached. */
			secondsToRound: number;
		};
		/**
		 * TokenState
		 * @description The upstream's last word about the token.
		 * @enum {string}
		 */
		TokenState: "untried" | "accepted" | "refused";
		/** Total */
		Total: {
			assetId: string;
			asset: string;
			assetName: string;
			/**
			 * Format: decimal
			 * @example 1000
			 * @example 0.00000001
			 */
			total: Amount;
			/**
			 * Format: decimal
			 * @example 1000
			 * @example 0.00000001
			 */
			free: Amount;
			/**
			 * Format: decimal
			 * @example 1000
			 * @example 0.00000001
			 */
			locked: Amount;
			merchants: number;
		};
		/** UpstreamAccount */
		UpstreamAccount: {
			canDeposit: boolean;
			balances: components["schemas"]["UpstreamRow"][];
			anomalies?: components["schemas"]["Anomaly"][];
		};
		/** UpstreamEnvelope */
		UpstreamEnvelope: {
			code: number;
			msg: string;
			data: components["schemas"]["UpstreamAccount"] | null;
		};
		/** UpstreamRow */
		UpstreamRow: {
			asset: string;
			assetId: string;
			assetName: string;
			/**
			 * Format: decimal
			 * @example 1000
			 * @example 0.00000001
			 */
			total: Amount;
			/**
			 * Format: decimal
			 * @example 1000
			 * @example 0.00000001
			 */
			free: Amount;
			/**
			 * Format: decimal
			 * @example 1000
			 * @example 0.00000001
			 */
			locked: Amount;
		};
		/**
		 * Verdict
		 * @description What is found of an asset.
		 * @enum {string}
		 */
		Verdict: "match" | "moving" | "mismatch" | "incomplete";
		/** KnownPart */
		KnownPart: {
			/** @description The merchant, as the upstream numbers it. */
			merchantId: number;
			/** @description In the breakdown and for holders, where the upstream's directory has one. */
			merchantName?: string;
			/**
			 * @description discriminator enum property added by openapi-typescript
			 * @enum {string}
			 */
			status: "fresh" | "stale";
			canDeposit: boolean;
			/**
			 * @description RFC 3339, UTC, milliseconds.
			 * @example 2026-11-23T10:00:00.123Z
			 */
			asOf: string;
			balances: components["schemas"]["Row"][];
			anomalies?: components["schemas"]["Anomaly"][];
		};
		/** MissingPart */
		MissingPart: {
			/** @description The merchant, as the upstream numbers it. */
			merchantId: number;
			/** @description In the breakdown and for holders, where the upstream's directory has one. */
			merchantName?: string;
			/**
			 * @description discriminator enum property added by openapi-typescript
			 * @enum {string}
			 */
			status: "unavailable";
			problem: components["schemas"]["PartProblem"];
		};
		/** WholeBreakdown */
		WholeBreakdown: {
			/** @enum {boolean} */
			complete: true;
			coverage: components["schemas"]["Coverage"];
			/** @description When the upstream listed the merchants, RFC 3339 in UTC; missing where they are configured. */
			directoryAsOf?: string;
			/**
			 * @description That list could not be read again in time: merchants that came since are not in it.
			 * @default false
			 */
			directoryStale?: boolean;
			/** @description Pages of one version show one moment. */
			version: string;
			/**
			 * @description RFC 3339, UTC, milliseconds.
			 * @example 2026-11-23T10:00:00.123Z
			 */
			oldestAsOf?: string;
			/**
			 * @description RFC 3339, UTC, milliseconds.
			 * @example 2026-11-23T10:00:00.123Z
			 */
			newestAsOf?: string;
			/** @description For callers who may read all merchants; so in the Sweep header. */
			sweep?: components["schemas"]["Sweep"];
			totals: components["schemas"]["Total"][];
			merchants: components["schemas"]["Part"][];
			/** @description Send it as `after` for the page that follows, of the same version. */
			next?: string;
		};
		/** PartialBreakdown */
		PartialBreakdown: {
			/** @enum {boolean} */
			complete: false;
			coverage: components["schemas"]["Coverage"];
			/** @description When the upstream listed the merchants, RFC 3339 in UTC; missing where they are configured. */
			directoryAsOf?: string;
			/**
			 * @description That list could not be read again in time: merchants that came since are not in it.
			 * @default false
			 */
			directoryStale?: boolean;
			/** @description Pages of one version show one moment. */
			version: string;
			/**
			 * @description RFC 3339, UTC, milliseconds.
			 * @example 2026-11-23T10:00:00.123Z
			 */
			oldestAsOf?: string;
			/**
			 * @description RFC 3339, UTC, milliseconds.
			 * @example 2026-11-23T10:00:00.123Z
			 */
			newestAsOf?: string;
			/** @description For callers who may read all merchants; so in the Sweep header. */
			sweep?: components["schemas"]["Sweep"];
			partialTotals: components["schemas"]["Total"][];
			merchants: components["schemas"]["Part"][];
			/** @description Send it as `after` for the page that follows, of the same version. */
			next?: string;
		};
	};
	responses: {
		/** @description Invalid request. */
		Problem400: {
			headers: {
				"X-Request-Id": components["headers"]["X-Request-Id"];
				RateLimit: components["headers"]["RateLimit"];
				"RateLimit-Policy": components["headers"]["RateLimit-Policy"];
				[name: string]: unknown;
			};
			content: {
				"application/problem+json": components["schemas"]["Problem"];
			};
		};
		/** @description No valid key; The signature is wrong. */
		Problem401: {
			headers: {
				"X-Request-Id": components["headers"]["X-Request-Id"];
				RateLimit: components["headers"]["RateLimit"];
				"RateLimit-Policy": components["headers"]["RateLimit-Policy"];
				[name: string]: unknown;
			};
			content: {
				"application/problem+json": components["schemas"]["Problem"];
			};
		};
		/** @description Access denied. */
		Problem403: {
			headers: {
				"X-Request-Id": components["headers"]["X-Request-Id"];
				RateLimit: components["headers"]["RateLimit"];
				"RateLimit-Policy": components["headers"]["RateLimit-Policy"];
				[name: string]: unknown;
			};
			content: {
				"application/problem+json": components["schemas"]["Problem"];
			};
		};
		/** @description The URI is too long. */
		Problem414: {
			headers: {
				"X-Request-Id": components["headers"]["X-Request-Id"];
				RateLimit: components["headers"]["RateLimit"];
				"RateLimit-Policy": components["headers"]["RateLimit-Policy"];
				[name: string]: unknown;
			};
			content: {
				"application/problem+json": components["schemas"]["Problem"];
			};
		};
		/** @description Too many requests; Too many streams. */
		Problem429: {
			headers: {
				"X-Request-Id": components["headers"]["X-Request-Id"];
				RateLimit: components["headers"]["RateLimit"];
				"RateLimit-Policy": components["headers"]["RateLimit-Policy"];
				"Retry-After": components["headers"]["Retry-After"];
				[name: string]: unknown;
			};
			content: {
				"application/problem+json": components["schemas"]["Problem"];
			};
		};
		/** @description The headers are too large. */
		Problem431: {
			headers: {
				"X-Request-Id": components["headers"]["X-Request-Id"];
				RateLimit: components["headers"]["RateLimit"];
				"RateLimit-Policy": components["headers"]["RateLimit-Policy"];
				[name: string]: unknown;
			};
			content: {
				"application/problem+json": components["schemas"]["Problem"];
			};
		};
		/** @description Internal error. */
		Problem500: {
			headers: {
				"X-Request-Id": components["headers"]["X-Request-Id"];
				RateLimit: components["headers"]["RateLimit"];
				"RateLimit-Policy": components["headers"]["RateLimit-Policy"];
				[name: string]: unknown;
			};
			content: {
				"application/problem+json": components["schemas"]["Problem"];
			};
		};
		/** @description The upstream refused our token; The upstream denied us access; The merchant is not active; The upstream rejected our request; The upstream answered with an unknown code; The upstream's answer is malformed; A part is missing. */
		Problem502: {
			headers: {
				"X-Request-Id": components["headers"]["X-Request-Id"];
				RateLimit: components["headers"]["RateLimit"];
				"RateLimit-Policy": components["headers"]["RateLimit-Policy"];
				"Retry-After": components["headers"]["Retry-After"];
				[name: string]: unknown;
			};
			content: {
				"application/problem+json": components["schemas"]["Problem"];
			};
		};
		/** @description The upstream is unreachable; The upstream failed; The upstream is busy; Upstream calls are suspended; The upstream call budget is spent; Your token cannot be checked now; Redis is unavailable; Nothing is known of it yet; What is known is too old. */
		Problem503: {
			headers: {
				"X-Request-Id": components["headers"]["X-Request-Id"];
				RateLimit: components["headers"]["RateLimit"];
				"RateLimit-Policy": components["headers"]["RateLimit-Policy"];
				"Retry-After": components["headers"]["Retry-After"];
				[name: string]: unknown;
			};
			content: {
				"application/problem+json": components["schemas"]["Problem"];
			};
		};
		/** @description The upstream did not answer in time; No answer in time; No stored answer is acceptable. */
		Problem504: {
			headers: {
				"X-Request-Id": components["headers"]["X-Request-Id"];
				RateLimit: components["headers"]["RateLimit"];
				"RateLimit-Policy": components["headers"]["RateLimit-Policy"];
				"Retry-After": components["headers"]["Retry-After"];
				[name: string]: unknown;
			};
			content: {
				"application/problem+json": components["schemas"]["Problem"];
			};
		};
		/** @description The body did not arrive in time. */
		Problem408: {
			headers: {
				"X-Request-Id": components["headers"]["X-Request-Id"];
				RateLimit: components["headers"]["RateLimit"];
				"RateLimit-Policy": components["headers"]["RateLimit-Policy"];
				[name: string]: unknown;
			};
			content: {
				"application/problem+json": components["schemas"]["Problem"];
			};
		};
		/** @description The body is too large. */
		Problem413: {
			headers: {
				"X-Request-Id": components["headers"]["X-Request-Id"];
				RateLimit: components["headers"]["RateLimit"];
				"RateLimit-Policy": components["headers"]["RateLimit-Policy"];
				[name: string]: unknown;
			};
			content: {
				"application/problem+json": components["schemas"]["Problem"];
			};
		};
		/** @description No such merchant; No such asset; No such reconciliation; No result yet; No history; Unknown path. */
		Problem404: {
			headers: {
				"X-Request-Id": components["headers"]["X-Request-Id"];
				RateLimit: components["headers"]["RateLimit"];
				"RateLimit-Policy": components["headers"]["RateLimit-Policy"];
				[name: string]: unknown;
			};
			content: {
				"application/problem+json": components["schemas"]["Problem"];
			};
		};
		/** @description This version of the view has expired; This past is not kept any more; The feed of this cursor has ended. */
		Problem410: {
			headers: {
				"X-Request-Id": components["headers"]["X-Request-Id"];
				RateLimit: components["headers"]["RateLimit"];
				"RateLimit-Policy": components["headers"]["RateLimit-Policy"];
				[name: string]: unknown;
			};
			content: {
				"application/problem+json": components["schemas"]["Problem"];
			};
		};
	};
	parameters: {
		/** @description How old the answer may be (RFC 9111, 5.2.1): max-age, max-stale, min-fresh, no-cache, only-if-cached. */
		"Cache-Control": string;
		/** @description wait=n: wait up to n seconds for what is new, 25 at most (RFC 7240); beside If-None-Match, if that is taken. */
		Prefer: string;
		/** @description The id of the last event that you have. */
		"Last-Event-ID": string;
		/** @description The ETag of the answer that you have: 304 if it is still so. */
		"If-None-Match": string;
	};
	requestBodies: never;
	headers: {
		/** @description Seconds since the upstream said the oldest part of it. */
		Age: number;
		/** @description How long your own cache may answer. */
		"Cache-Control": string;
		/** @description Where the answer came from (RFC 9211); a negative ttl means stale. */
		"Cache-Status": string;
		/** @description The tag of the content, without its times (RFC 9110, 8.8.3). */
		ETag: string;
		/** @description The next page, if there is one (RFC 8288). */
		Link: string;
		/** @description The path of what was started. */
		Location: string;
		/** @description How long the request would have waited (RFC 7240). */
		"Preference-Applied": string;
		/** @description What is left of your quota, and in how many seconds it is whole. */
		RateLimit: string;
		/** @description Your quota. */
		"RateLimit-Policy": string;
		/** @description Seconds to wait before another request. */
		"Retry-After": number;
		/** @description The headers of a request that change the answer. */
		Vary: string;
		/** @description The id of the request, as in the log. Send one to choose it. */
		"X-Request-Id": string;
	};
	pathItems: never;
}
/** The kinds of problems, with their statuses. The gateway explains each at `/problems/<kind>`. */
export declare const PROBLEM_KINDS: {
	readonly "access-refused": 502;
	readonly "bad-signature": 401;
	readonly "body-too-large": 413;
	readonly "body-too-slow": 408;
	readonly "breaker-open": 503;
	readonly "budget-spent": 503;
	readonly "deadline-passed": 504;
	readonly "feed-gone": 410;
	readonly forbidden: 403;
	readonly "headers-too-large": 431;
	readonly "history-gone": 410;
	readonly incomplete: 502;
	readonly "internal-error": 500;
	readonly "invalid-request": 400;
	readonly "issuer-unavailable": 503;
	readonly "malformed-answer": 502;
	readonly "merchant-inactive": 502;
	readonly "no-history": 404;
	readonly "no-reconciliation": 404;
	readonly "not-cached": 504;
	readonly "not-known-yet": 503;
	readonly "request-refused": 502;
	readonly "store-unavailable": 503;
	readonly "token-refused": 502;
	readonly "too-fast": 429;
	readonly "too-many-streams": 429;
	readonly "too-old": 503;
	readonly unauthenticated: 401;
	readonly "unknown-asset": 404;
	readonly "unknown-code": 502;
	readonly "unknown-merchant": 404;
	readonly "unknown-path": 404;
	readonly "unknown-reconciliation": 404;
	readonly "upstream-busy": 503;
	readonly "upstream-faulty": 503;
	readonly "upstream-timeout": 504;
	readonly "upstream-unreachable": 503;
	readonly "uri-too-long": 414;
	readonly "view-gone": 410;
};
export type ProblemKind = keyof typeof PROBLEM_KINDS;
export type Problem = components["schemas"]["Problem"];
export type FailedPart = components["schemas"]["FailedPart"];
/** The root of all errors that this client throws for what it met, but for those of your own signals. */
export declare class TallygateError extends Error {
	readonly name: string;
}
/** An answer that is a refusal or a failure. */
export declare abstract class StatusError extends TallygateError {
	readonly status: number;
	/** Seconds that it asks to wait, where waiting helps. */
	readonly retryAfter: number | undefined;
	constructor(message: string, status: number, 
	/** Seconds that it asks to wait, where waiting helps. */
	retryAfter: number | undefined);
}
/** The gateway answered with a problem. Its `kind` is one of a closed list, or text that a newer gateway sent. */
export declare class ProblemError<Kind extends string = ProblemKind | (string & {})> extends StatusError {
	readonly kind: Kind;
	readonly problem: Problem;
	readonly name = "ProblemError";
	constructor(kind: Kind, status: number, problem: Problem, retryAfter: number | undefined);
	/** The id of the request, as in the gateway's log. */
	get requestId(): string;
	/** The parts that failed, of a request that wanted all of them. */
	get failed(): readonly FailedPart[];
}
/** The gateway answered with an error in the upstream's own shape, as it does below `/v2/`. */
export declare class EnvelopeError extends StatusError {
	readonly code: number;
	readonly name = "EnvelopeError";
	constructor(code: number, msg: string, status: number, retryAfter: number | undefined);
}
/** Something answered, but not this gateway: a proxy's page, or half an answer. */
export declare class UnexpectedAnswerError extends StatusError {
	readonly name = "UnexpectedAnswerError";
}
/** Nobody answered, or not in time. `cause` is what `fetch` said. */
export declare class NoAnswerError extends TallygateError {
	readonly name = "NoAnswerError";
}
/** An answer is older than you accept. */
export declare class TooOldError extends TallygateError {
	readonly ageSeconds: number;
	readonly acceptedSeconds: number;
	readonly name = "TooOldError";
	constructor(ageSeconds: number, acceptedSeconds: number);
}
/** Say whether an error is a problem of one of these kinds. */
export declare function isProblem<Kind extends ProblemKind>(error: unknown, ...kinds: Kind[]): error is ProblemError<Kind>;
/** Return the kind of a problem by its `type`, `/problems/<kind>`: one of `ProblemKind`, or text that a newer gateway sent. */
export declare function kindOf(type: string): ProblemKind | (string & {});
/** A key or token, or a function that gives the one to use now. */
export type KeySource = string | (() => string | Promise<string>);
type Schemas = components["schemas"];
export type Account = Schemas["Account"];
export type Alive = Schemas["Alive"];
export type Anomaly = Schemas["Anomaly"];
export type Asset = Schemas["Asset"];
export type Batch = Schemas["Batch"];
export type Breakdown = Schemas["Breakdown"];
export type Change = Schemas["Change"];
export type Changes = Schemas["Changes"];
export type Coverage = Schemas["Coverage"];
export type Holders = Schemas["Holders"];
export type KnownPart = Schemas["KnownPart"];
export type Merchants = Schemas["Merchants"];
export type MissingPart = Schemas["MissingPart"];
export type Part = Schemas["Part"];
export type Past = Schemas["Past"];
export type PastBreakdown = Schemas["PastBreakdown"];
export type Me = Schemas["Me"];
export type Moved = Schemas["Moved"];
export type Readiness = Schemas["Readiness"];
export type Reconciliation = Schemas["Reconciliation"];
export type Row = Schemas["Row"];
export type RowChange = Schemas["RowChange"];
export type UpstreamAccount = Schemas["UpstreamAccount"];
/** A batch in which every merchant is there, with all of its rows. */
export type WholeBatch = Batch & {
	complete: true;
	merchants: KnownPart[];
};
/** A breakdown in which every merchant is there. Only it has `totals`. */
export type WholeBreakdown = Schemas["WholeBreakdown"] & {
	merchants: KnownPart[];
};
/** Holders among all merchants. */
export type WholeHolders = Holders & {
	complete: true;
};
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
	readonly within: {
		readonly wanted: number;
		readonly expected: number;
	};
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
export type WatchEvent = ({
	readonly type: "connected";
} & Hello) | {
	readonly type: "balances";
	readonly part: WatchedPart;
	readonly cursor: string | undefined;
} | {
	readonly type: "synced";
	readonly coverage: Coverage;
	readonly cursor: string | undefined;
} | ({
	readonly type: "heartbeat";
	readonly cursor: string | undefined;
} & Heartbeat) | {
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
export type FeedEvent = {
	readonly type: "changes";
	readonly changes: readonly FeedChange[];
	/** Keep it, and give it as `after` to go on from here. */
	readonly cursor: string;
} | {
	readonly type: "gap";
	readonly reason: "not-kept" | "feed-gone" | "history-gone";
} | {
	readonly type: "disconnected";
	readonly error: TallygateError;
	readonly retryInMs: number;
};
/** Whose changes to follow. */
export interface ChangesOptions {
	readonly merchantIds: readonly number[] | "all";
	readonly after?: string;
	readonly limit?: number;
	/** Seconds that the gateway waits for news: 1 to 25. */
	readonly waitSeconds?: number;
	readonly signal?: AbortSignal;
}
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
interface RowOptions {
	readonly assets?: readonly string[];
	/** Only assets that are held. */
	readonly nonzero?: boolean;
}
export interface AccountOptions extends ReadOptions, RowOptions {
}
/** The past has no directives: it is as it was. */
export interface PastOptions extends CallOptions, RowOptions {
}
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
export interface PageOptions extends ReadOptions, Paging {
}
/** Pages of what has no directives: of the past, and of the list of merchants. */
export interface PlainPageOptions extends CallOptions, Paging {
}
/** Which changes of an account: those found from `from` on and before `until` (RFC 3339). */
export interface ChangesQuery extends PlainPageOptions {
	readonly from?: string;
	readonly until?: string;
	readonly assets?: readonly string[];
}
/** How to reach the gateway. */
export interface TallygateOptions {
	/** Where it is. A page that imported this file from the gateway may leave it out. */
	readonly url?: string;
	/** Your key or token, or a function that gives it: it is asked for each request. */
	readonly credential?: KeySource;
	/** Seconds that a call may take, with its repetitions: 30 if left out. */
	readonly deadlineSeconds?: number;
	readonly fetch?: typeof globalThis.fetch;
	readonly clock?: Clock;
}
/**
 * A client of one gateway.
 *
 * Every method raises `ProblemError` for what the gateway refuses or cannot do, and `NoAnswerError` if nobody answers
 * until the deadline. A call is repeated before that: as `Retry-After` says, and after failures of the network.
 */
export declare class Tallygate {
	#private;
	constructor({ url, credential, deadlineSeconds, fetch, clock }: TallygateOptions);
	getMerchantBalances(merchantId: number, options?: AccountOptions): Promise<Answer<Account>>;
	/** One asset of a merchant. An asset named `.` or `..` has no path: read it with `getMerchantBalances`. */
	getAssetBalance(merchantId: number, assetId: string, options?: ReadOptions): Promise<Answer<Asset>>;
	/** The upstream's own sum over all merchants. */
	getPortfolio(options?: AccountOptions): Promise<Answer<Account>>;
	getBalances(merchantIds: readonly number[], options?: ListOptions): Promise<Answer<Batch, WholeBatch>>;
	/** As `getBalances`, for lists that are too long for a URL: up to 1,000 merchants. */
	queryBalances(merchantIds: readonly number[], options?: QueryOptions): Promise<Answer<Batch, WholeBatch>>;
	listMerchants(options?: PlainPageOptions & {
		search?: string;
	}): Promise<Answer<Merchants>>;
	getBreakdown(options?: PageOptions & {
		sort?: string;
	}): Promise<Answer<Breakdown, WholeBreakdown>>;
	getHolders(assetId: string, options?: PageOptions): Promise<Answer<Holders, WholeHolders>>;
	/** All pages of the list of merchants. */
	eachMerchantsPage(options?: PlainPageOptions & {
		search?: string;
	}): AsyncGenerator<Answer<Merchants>, void>;
	/** All pages of one version of the breakdown. Raises the problem `view-gone` if you take more than 5 minutes. */
	eachBreakdownPage(options?: PageOptions & {
		sort?: string;
	}): AsyncGenerator<Answer<Breakdown, WholeBreakdown>, void>;
	/** All pages of one version of the holders. Raises the problem `view-gone` if you take more than 5 minutes. */
	eachHoldersPage(assetId: string, options?: PageOptions): AsyncGenerator<Answer<Holders, WholeHolders>, void>;
	getLastReconciliation(options?: CallOptions): Promise<Reconciliation>;
	getReconciliation(id: string, options?: CallOptions): Promise<Reconciliation>;
	/** Start a comparison. It is sent once: without an answer you do not know whether it has started. */
	startReconciliation(options?: CallOptions): Promise<Reconciliation>;
	/** A merchant's balances in the upstream's own shape. Raises `EnvelopeError`, since problems have that shape too. */
	getUpstreamBalances(merchantId: number, options?: ReadOptions): Promise<Answer<UpstreamAccount>>;
	/** Report that money was moved: what is older than now is fetched before it is served. It needs the right `moves`. */
	reportMoves(merchantIds: readonly number[], options?: CallOptions): Promise<Moved>;
	/** Who you are for the gateway, what you may read, how fast, and until when. */
	getMe(options?: CallOptions): Promise<Me>;
	getLiveness(options?: CallOptions): Promise<Alive>;
	/** Whether the gateway wants requests. One that does not is no error here. */
	getReadiness(options?: CallOptions): Promise<Readiness>;
	/** A merchant's balances at a moment of the past (RFC 3339). `certainty` says whether looks before and after agree. */
	getMerchantBalancesAt(merchantId: number, at: string, options?: PastOptions): Promise<Past>;
	/** The upstream's own sum at a moment of the past (RFC 3339). */
	getPortfolioAt(at: string, options?: PastOptions): Promise<Past>;
	/** A page of every merchant at a moment of the past (RFC 3339). `totals` are there only if all is certain. */
	getBreakdownAt(at: string, options?: PlainPageOptions): Promise<PastBreakdown>;
	/** A page of the changes of one merchant, oldest first. */
	getMerchantChanges(merchantId: number, options?: ChangesQuery): Promise<Changes>;
	/** A page of the changes of the upstream's own sum. */
	getPortfolioChanges(options?: ChangesQuery): Promise<Changes>;
	/** Follow all changes from a cursor on, or from the oldest that is kept, each at least once, until your signal. */
	changes(options: ChangesOptions): AsyncGenerator<FeedEvent, void>;
	/** Follow balances as they change, until your signal. Raises only what asking again cannot help. */
	watch(options: WatchOptions): AsyncGenerator<WatchEvent, void>;
}

export {};
