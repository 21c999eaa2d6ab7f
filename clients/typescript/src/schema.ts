// Made from clients/openapi.json by `npm run types`.
import type { Amount } from "./amounts.ts";

export interface paths {
    "/v1/balances": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Many merchants' balances
         * @description Give many merchants' balances, in the order asked for, each with its own status.
         */
        get: operations["getBalances"];
        put?: never;
        /**
         * Many merchants' balances, for long lists
         * @description Give many merchants' balances, in the order asked for, each with its own status.
         */
        post: operations["queryBalances"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/merchants/{merchantId}/balances": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * A merchant's balances
         * @description Give a merchant's balances, all of its assets or some.
         */
        get: operations["getMerchantBalances"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/merchants/{merchantId}/balances/{assetId}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * One asset of a merchant
         * @description Give one row of a merchant's balances. An asset that is not listed is a 404, which is not the same as zero.
         */
        get: operations["getAssetBalance"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/portfolio": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * All merchants together
         * @description Give the upstream's own aggregate over all merchants, in the shape of a merchant's balances.
         */
        get: operations["getPortfolio"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v2/assets/account/assets": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Balances in the upstream's own shape
         * @description Give balances as the upstream does, to programs that were written for it.
         */
        get: operations["getUpstreamBalances"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/portfolio/reconciliation": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Does the aggregate agree with the merchants?
         * @description Give the last result: by asset the aggregate, the sum of the merchants, the difference and a verdict.
         */
        get: operations["getLastReconciliation"];
        put?: never;
        /**
         * Start a reconciliation
         * @description Start a reconciliation, or, if one is running, lead to that one. It takes as long as the budget wants.
         */
        post: operations["startReconciliation"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/merchants": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * The merchants that you may read
         * @description Give the merchants that the caller may read, by id, with their names. No other is in it, nor counted.
         */
        get: operations["listMerchants"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/portfolio/merchants": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Every merchant, and the totals
         * @description Give each merchant's balances and their exact totals by asset. All pages of a version show one moment.
         */
        get: operations["getBreakdown"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/portfolio/assets/{assetId}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Who holds an asset
         * @description Give the merchants that hold an asset, and their exact shares of the whole: of what the caller may read.
         */
        get: operations["getHolders"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/portfolio/reconciliations/{reconciliationId}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * How a reconciliation is
         * @description Give a reconciliation's progress, or its result. `lost` is one whose replica died.
         */
        get: operations["getReconciliation"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/watch": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Balances as they change
         * @description Send each balance that changes, whole, and now and then how old all of them are.
         */
        get: operations["watch"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/merchants/{merchantId}/changes": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * What changed in a merchant's balances
         * @description Give what changed in a merchant's balances, and between which two looks at them.
         */
        get: operations["getMerchantChanges"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/portfolio/changes": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * What changed in the aggregate
         * @description Give what changed in the upstream's own aggregate over all merchants.
         */
        get: operations["getPortfolioChanges"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/changes": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * What changed, of all that you may read
         * @description Give the changes after a cursor. With `Prefer: wait=20` it waits up to 25 s where there is none.
         */
        get: operations["getChanges"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/me": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Who you are, and what you may read
         * @description Give the caller's name, rights and limits, and when its key or token ends.
         */
        get: operations["getMe"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/moved": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Report that money was moved
         * @description Have what is known of merchants fetched again, since their money was moved. It needs the right `moves`.
         */
        post: operations["reportMoves"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/health/live": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Is it alive?
         * @description Answer, which is what it takes to be alive.
         */
        get: operations["getLiveness"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/health/ready": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * May it be sent requests?
         * @description Report whether requests can be answered, with 503 if not.
         */
        get: operations["getReadiness"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
}
export type webhooks = Record<string, never>;
export interface components {
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
export type $defs = Record<string, never>;
export interface operations {
    getBalances: {
        parameters: {
            query: {
                /** @description 1 to 1,000 merchant ids, separated by commas. */
                merchantId: number[];
                /** @description Counts more than Accept: JSON, CSV for a spreadsheet, or a table for a terminal. */
                format?: "json" | "csv" | "text";
                /** @description With `format=csv` only: begin with a byte order mark, without which Excel shows other letters for some. */
                bom?: "true" | "false";
                /** @description `complete`: a 502 if any part failed, instead of what there is. */
                require?: "complete";
                /** @description Only these assets: ids, separated by commas. In an id, write a comma as `%2C` and a `%` as `%25`, then encode. */
                assets?: string;
                /** @description `true`: only assets that are held. */
                nonzero?: "true" | "false";
            };
            header?: {
                /** @description How old the answer may be (RFC 9111, 5.2.1): max-age, max-stale, min-fresh, no-cache, only-if-cached. */
                "Cache-Control"?: components["parameters"]["Cache-Control"];
                /** @description wait=n: wait up to n seconds for what is new, 25 at most (RFC 7240); beside If-None-Match, if that is taken. */
                Prefer?: components["parameters"]["Prefer"];
                /** @description The ETag of the answer that you have: 304 if it is still so. */
                "If-None-Match"?: components["parameters"]["If-None-Match"];
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Each merchant's balances, or why they are missing. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    RateLimit: components["headers"]["RateLimit"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    ETag: components["headers"]["ETag"];
                    Age: components["headers"]["Age"];
                    "Cache-Control": components["headers"]["Cache-Control"];
                    "Cache-Status": components["headers"]["Cache-Status"];
                    Vary: components["headers"]["Vary"];
                    "Preference-Applied": components["headers"]["Preference-Applied"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Batch"];
                    "text/csv": string;
                    "text/plain": string;
                };
            };
            /** @description What If-None-Match names is still so. */
            304: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    RateLimit: components["headers"]["RateLimit"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    ETag: components["headers"]["ETag"];
                    Age: components["headers"]["Age"];
                    "Cache-Control": components["headers"]["Cache-Control"];
                    "Cache-Status": components["headers"]["Cache-Status"];
                    Vary: components["headers"]["Vary"];
                    "Preference-Applied": components["headers"]["Preference-Applied"];
                    [name: string]: unknown;
                };
                content?: never;
            };
            400: components["responses"]["Problem400"];
            401: components["responses"]["Problem401"];
            403: components["responses"]["Problem403"];
            414: components["responses"]["Problem414"];
            429: components["responses"]["Problem429"];
            431: components["responses"]["Problem431"];
            500: components["responses"]["Problem500"];
            502: components["responses"]["Problem502"];
            503: components["responses"]["Problem503"];
            504: components["responses"]["Problem504"];
        };
    };
    queryBalances: {
        parameters: {
            query?: {
                /** @description Counts more than Accept: JSON, CSV for a spreadsheet, or a table for a terminal. */
                format?: "json" | "csv" | "text";
                /** @description With `format=csv` only: begin with a byte order mark, without which Excel shows other letters for some. */
                bom?: "true" | "false";
                /** @description `complete`: a 502 if any part failed, instead of what there is. */
                require?: "complete";
                /** @description Only these assets: ids, separated by commas. In an id, write a comma as `%2C` and a `%` as `%25`, then encode. */
                assets?: string;
                /** @description `true`: only assets that are held. */
                nonzero?: "true" | "false";
            };
            header?: {
                /** @description How old the answer may be (RFC 9111, 5.2.1): max-age, max-stale, min-fresh, no-cache, only-if-cached. */
                "Cache-Control"?: components["parameters"]["Cache-Control"];
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["BatchQuestion"];
            };
        };
        responses: {
            /** @description Each merchant's balances, or why they are missing. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    RateLimit: components["headers"]["RateLimit"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    ETag: components["headers"]["ETag"];
                    Age: components["headers"]["Age"];
                    "Cache-Control": components["headers"]["Cache-Control"];
                    "Cache-Status": components["headers"]["Cache-Status"];
                    Vary: components["headers"]["Vary"];
                    "Preference-Applied": components["headers"]["Preference-Applied"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Batch"];
                    "text/csv": string;
                    "text/plain": string;
                };
            };
            400: components["responses"]["Problem400"];
            401: components["responses"]["Problem401"];
            403: components["responses"]["Problem403"];
            408: components["responses"]["Problem408"];
            413: components["responses"]["Problem413"];
            414: components["responses"]["Problem414"];
            429: components["responses"]["Problem429"];
            431: components["responses"]["Problem431"];
            500: components["responses"]["Problem500"];
            502: components["responses"]["Problem502"];
            503: components["responses"]["Problem503"];
            504: components["responses"]["Problem504"];
        };
    };
    getMerchantBalances: {
        parameters: {
            query?: {
                /** @description Counts more than Accept: JSON, CSV for a spreadsheet, or a table for a terminal. */
                format?: "json" | "csv" | "text";
                /** @description With `format=csv` only: begin with a byte order mark, without which Excel shows other letters for some. */
                bom?: "true" | "false";
                /** @description Only these assets: ids, separated by commas. In an id, write a comma as `%2C` and a `%` as `%25`, then encode. */
                assets?: string;
                /** @description `true`: only assets that are held. */
                nonzero?: "true" | "false";
                /** @description The past: how it was at that moment. It goes with no request directives. */
                at?: string;
            };
            header?: {
                /** @description How old the answer may be (RFC 9111, 5.2.1): max-age, max-stale, min-fresh, no-cache, only-if-cached. */
                "Cache-Control"?: components["parameters"]["Cache-Control"];
                /** @description wait=n: wait up to n seconds for what is new, 25 at most (RFC 7240); beside If-None-Match, if that is taken. */
                Prefer?: components["parameters"]["Prefer"];
                /** @description The ETag of the answer that you have: 304 if it is still so. */
                "If-None-Match"?: components["parameters"]["If-None-Match"];
            };
            path: {
                /** @description The merchant, as the upstream numbers it. */
                merchantId: number;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The balances. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    RateLimit: components["headers"]["RateLimit"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    ETag: components["headers"]["ETag"];
                    Age: components["headers"]["Age"];
                    "Cache-Control": components["headers"]["Cache-Control"];
                    "Cache-Status": components["headers"]["Cache-Status"];
                    Vary: components["headers"]["Vary"];
                    "Preference-Applied": components["headers"]["Preference-Applied"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Account"] | components["schemas"]["Past"];
                    "text/csv": string;
                    "text/plain": string;
                };
            };
            /** @description What If-None-Match names is still so. */
            304: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    RateLimit: components["headers"]["RateLimit"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    ETag: components["headers"]["ETag"];
                    Age: components["headers"]["Age"];
                    "Cache-Control": components["headers"]["Cache-Control"];
                    "Cache-Status": components["headers"]["Cache-Status"];
                    Vary: components["headers"]["Vary"];
                    "Preference-Applied": components["headers"]["Preference-Applied"];
                    [name: string]: unknown;
                };
                content?: never;
            };
            400: components["responses"]["Problem400"];
            401: components["responses"]["Problem401"];
            403: components["responses"]["Problem403"];
            404: components["responses"]["Problem404"];
            410: components["responses"]["Problem410"];
            414: components["responses"]["Problem414"];
            429: components["responses"]["Problem429"];
            431: components["responses"]["Problem431"];
            500: components["responses"]["Problem500"];
            502: components["responses"]["Problem502"];
            503: components["responses"]["Problem503"];
            504: components["responses"]["Problem504"];
        };
    };
    getAssetBalance: {
        parameters: {
            query?: {
                /** @description Counts more than Accept: JSON, CSV for a spreadsheet, or a table for a terminal. */
                format?: "json" | "csv" | "text";
                /** @description With `format=csv` only: begin with a byte order mark, without which Excel shows other letters for some. */
                bom?: "true" | "false";
            };
            header?: {
                /** @description How old the answer may be (RFC 9111, 5.2.1): max-age, max-stale, min-fresh, no-cache, only-if-cached. */
                "Cache-Control"?: components["parameters"]["Cache-Control"];
                /** @description wait=n: wait up to n seconds for what is new, 25 at most (RFC 7240); beside If-None-Match, if that is taken. */
                Prefer?: components["parameters"]["Prefer"];
                /** @description The ETag of the answer that you have: 304 if it is still so. */
                "If-None-Match"?: components["parameters"]["If-None-Match"];
            };
            path: {
                /** @description The merchant, as the upstream numbers it. */
                merchantId: number;
                /** @description The asset, as the upstream names it, percent-encoded: a `/` in it is `%2F`. */
                assetId: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The asset's row. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    RateLimit: components["headers"]["RateLimit"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    ETag: components["headers"]["ETag"];
                    Age: components["headers"]["Age"];
                    "Cache-Control": components["headers"]["Cache-Control"];
                    "Cache-Status": components["headers"]["Cache-Status"];
                    Vary: components["headers"]["Vary"];
                    "Preference-Applied": components["headers"]["Preference-Applied"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Asset"];
                    "text/csv": string;
                    "text/plain": string;
                };
            };
            /** @description What If-None-Match names is still so. */
            304: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    RateLimit: components["headers"]["RateLimit"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    ETag: components["headers"]["ETag"];
                    Age: components["headers"]["Age"];
                    "Cache-Control": components["headers"]["Cache-Control"];
                    "Cache-Status": components["headers"]["Cache-Status"];
                    Vary: components["headers"]["Vary"];
                    "Preference-Applied": components["headers"]["Preference-Applied"];
                    [name: string]: unknown;
                };
                content?: never;
            };
            400: components["responses"]["Problem400"];
            401: components["responses"]["Problem401"];
            403: components["responses"]["Problem403"];
            404: components["responses"]["Problem404"];
            414: components["responses"]["Problem414"];
            429: components["responses"]["Problem429"];
            431: components["responses"]["Problem431"];
            500: components["responses"]["Problem500"];
            502: components["responses"]["Problem502"];
            503: components["responses"]["Problem503"];
            504: components["responses"]["Problem504"];
        };
    };
    getPortfolio: {
        parameters: {
            query?: {
                /** @description Counts more than Accept: JSON, CSV for a spreadsheet, or a table for a terminal. */
                format?: "json" | "csv" | "text";
                /** @description With `format=csv` only: begin with a byte order mark, without which Excel shows other letters for some. */
                bom?: "true" | "false";
                /** @description Only these assets: ids, separated by commas. In an id, write a comma as `%2C` and a `%` as `%25`, then encode. */
                assets?: string;
                /** @description `true`: only assets that are held. */
                nonzero?: "true" | "false";
                /** @description The past: how it was at that moment. It goes with no request directives. */
                at?: string;
            };
            header?: {
                /** @description How old the answer may be (RFC 9111, 5.2.1): max-age, max-stale, min-fresh, no-cache, only-if-cached. */
                "Cache-Control"?: components["parameters"]["Cache-Control"];
                /** @description wait=n: wait up to n seconds for what is new, 25 at most (RFC 7240); beside If-None-Match, if that is taken. */
                Prefer?: components["parameters"]["Prefer"];
                /** @description The ETag of the answer that you have: 304 if it is still so. */
                "If-None-Match"?: components["parameters"]["If-None-Match"];
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The balances, as the upstream aggregates them. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    RateLimit: components["headers"]["RateLimit"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    ETag: components["headers"]["ETag"];
                    Age: components["headers"]["Age"];
                    "Cache-Control": components["headers"]["Cache-Control"];
                    "Cache-Status": components["headers"]["Cache-Status"];
                    Vary: components["headers"]["Vary"];
                    "Preference-Applied": components["headers"]["Preference-Applied"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Account"] | components["schemas"]["Past"];
                    "text/csv": string;
                    "text/plain": string;
                };
            };
            /** @description What If-None-Match names is still so. */
            304: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    RateLimit: components["headers"]["RateLimit"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    ETag: components["headers"]["ETag"];
                    Age: components["headers"]["Age"];
                    "Cache-Control": components["headers"]["Cache-Control"];
                    "Cache-Status": components["headers"]["Cache-Status"];
                    Vary: components["headers"]["Vary"];
                    "Preference-Applied": components["headers"]["Preference-Applied"];
                    [name: string]: unknown;
                };
                content?: never;
            };
            400: components["responses"]["Problem400"];
            401: components["responses"]["Problem401"];
            403: components["responses"]["Problem403"];
            404: components["responses"]["Problem404"];
            410: components["responses"]["Problem410"];
            414: components["responses"]["Problem414"];
            429: components["responses"]["Problem429"];
            431: components["responses"]["Problem431"];
            500: components["responses"]["Problem500"];
            502: components["responses"]["Problem502"];
            503: components["responses"]["Problem503"];
            504: components["responses"]["Problem504"];
        };
    };
    getUpstreamBalances: {
        parameters: {
            query: {
                /** @description The merchant, or 0 for all merchants together. */
                merchantId: number;
            };
            header?: {
                /** @description How old the answer may be (RFC 9111, 5.2.1): max-age, max-stale, min-fresh, no-cache, only-if-cached. */
                "Cache-Control"?: components["parameters"]["Cache-Control"];
                /** @description wait=n: wait up to n seconds for what is new, 25 at most (RFC 7240); beside If-None-Match, if that is taken. */
                Prefer?: components["parameters"]["Prefer"];
                /** @description The ETag of the answer that you have: 304 if it is still so. */
                "If-None-Match"?: components["parameters"]["If-None-Match"];
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The balances. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    RateLimit: components["headers"]["RateLimit"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    ETag: components["headers"]["ETag"];
                    Age: components["headers"]["Age"];
                    "Cache-Control": components["headers"]["Cache-Control"];
                    "Cache-Status": components["headers"]["Cache-Status"];
                    Vary: components["headers"]["Vary"];
                    "Preference-Applied": components["headers"]["Preference-Applied"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["UpstreamEnvelope"];
                };
            };
            /** @description What If-None-Match names is still so. */
            304: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    RateLimit: components["headers"]["RateLimit"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    ETag: components["headers"]["ETag"];
                    Age: components["headers"]["Age"];
                    "Cache-Control": components["headers"]["Cache-Control"];
                    "Cache-Status": components["headers"]["Cache-Status"];
                    Vary: components["headers"]["Vary"];
                    "Preference-Applied": components["headers"]["Preference-Applied"];
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description Invalid request. */
            400: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    RateLimit: components["headers"]["RateLimit"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["UpstreamEnvelope"];
                };
            };
            /** @description No valid key; The signature is wrong. */
            401: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    RateLimit: components["headers"]["RateLimit"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["UpstreamEnvelope"];
                };
            };
            /** @description Access denied. */
            403: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    RateLimit: components["headers"]["RateLimit"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["UpstreamEnvelope"];
                };
            };
            /** @description No such merchant; No such asset; No such reconciliation; No result yet; No history; Unknown path. */
            404: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    RateLimit: components["headers"]["RateLimit"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["UpstreamEnvelope"];
                };
            };
            /** @description The URI is too long. */
            414: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    RateLimit: components["headers"]["RateLimit"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["UpstreamEnvelope"];
                };
            };
            /** @description Too many requests; Too many streams. */
            429: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    RateLimit: components["headers"]["RateLimit"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    "Retry-After": components["headers"]["Retry-After"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["UpstreamEnvelope"];
                };
            };
            /** @description The headers are too large. */
            431: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    RateLimit: components["headers"]["RateLimit"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["UpstreamEnvelope"];
                };
            };
            /** @description Internal error. */
            500: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    RateLimit: components["headers"]["RateLimit"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["UpstreamEnvelope"];
                };
            };
            /** @description The upstream refused our token; The upstream denied us access; The merchant is not active; The upstream rejected our request; The upstream answered with an unknown code; The upstream's answer is malformed; A part is missing. */
            502: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    RateLimit: components["headers"]["RateLimit"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    "Retry-After": components["headers"]["Retry-After"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["UpstreamEnvelope"];
                };
            };
            /** @description The upstream is unreachable; The upstream failed; The upstream is busy; Upstream calls are suspended; The upstream call budget is spent; Your token cannot be checked now; Redis is unavailable; Nothing is known of it yet; What is known is too old. */
            503: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    RateLimit: components["headers"]["RateLimit"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    "Retry-After": components["headers"]["Retry-After"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["UpstreamEnvelope"];
                };
            };
            /** @description The upstream did not answer in time; No answer in time; No stored answer is acceptable. */
            504: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    RateLimit: components["headers"]["RateLimit"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    "Retry-After": components["headers"]["Retry-After"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["UpstreamEnvelope"];
                };
            };
        };
    };
    getLastReconciliation: {
        parameters: {
            query?: {
                /** @description Counts more than Accept: JSON, CSV for a spreadsheet, or a table for a terminal. */
                format?: "json" | "csv" | "text";
                /** @description With `format=csv` only: begin with a byte order mark, without which Excel shows other letters for some. */
                bom?: "true" | "false";
            };
            header?: {
                /** @description The ETag of the answer that you have: 304 if it is still so. */
                "If-None-Match"?: components["parameters"]["If-None-Match"];
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The last result. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    RateLimit: components["headers"]["RateLimit"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    ETag: components["headers"]["ETag"];
                    Age: components["headers"]["Age"];
                    "Cache-Control": components["headers"]["Cache-Control"];
                    "Cache-Status": components["headers"]["Cache-Status"];
                    Vary: components["headers"]["Vary"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Reconciliation"];
                    "text/csv": string;
                    "text/plain": string;
                };
            };
            /** @description What If-None-Match names is still so. */
            304: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    RateLimit: components["headers"]["RateLimit"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    ETag: components["headers"]["ETag"];
                    Age: components["headers"]["Age"];
                    "Cache-Control": components["headers"]["Cache-Control"];
                    "Cache-Status": components["headers"]["Cache-Status"];
                    Vary: components["headers"]["Vary"];
                    [name: string]: unknown;
                };
                content?: never;
            };
            400: components["responses"]["Problem400"];
            401: components["responses"]["Problem401"];
            403: components["responses"]["Problem403"];
            404: components["responses"]["Problem404"];
            414: components["responses"]["Problem414"];
            429: components["responses"]["Problem429"];
            431: components["responses"]["Problem431"];
            500: components["responses"]["Problem500"];
            502: components["responses"]["Problem502"];
            503: components["responses"]["Problem503"];
            504: components["responses"]["Problem504"];
        };
    };
    startReconciliation: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description It runs; Location names it. */
            202: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    RateLimit: components["headers"]["RateLimit"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    Location: components["headers"]["Location"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Reconciliation"];
                };
            };
            400: components["responses"]["Problem400"];
            401: components["responses"]["Problem401"];
            403: components["responses"]["Problem403"];
            414: components["responses"]["Problem414"];
            429: components["responses"]["Problem429"];
            431: components["responses"]["Problem431"];
            500: components["responses"]["Problem500"];
            502: components["responses"]["Problem502"];
            503: components["responses"]["Problem503"];
            504: components["responses"]["Problem504"];
        };
    };
    listMerchants: {
        parameters: {
            query?: {
                /** @description Counts more than Accept: JSON, CSV for a spreadsheet, or a table for a terminal. */
                format?: "json" | "csv" | "text";
                /** @description With `format=csv` only: begin with a byte order mark, without which Excel shows other letters for some. */
                bom?: "true" | "false";
                /** @description Only those whose name contains this, or whose id begins with it. */
                search?: string;
                /** @description How many on a page. */
                limit?: number;
                /** @description The `next` of the page before. */
                after?: string;
            };
            header?: {
                /** @description The ETag of the answer that you have: 304 if it is still so. */
                "If-None-Match"?: components["parameters"]["If-None-Match"];
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Those that the caller may read. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    RateLimit: components["headers"]["RateLimit"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    ETag: components["headers"]["ETag"];
                    Age: components["headers"]["Age"];
                    "Cache-Control": components["headers"]["Cache-Control"];
                    "Cache-Status": components["headers"]["Cache-Status"];
                    Vary: components["headers"]["Vary"];
                    Link: components["headers"]["Link"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Merchants"];
                    "text/csv": string;
                    "text/plain": string;
                };
            };
            /** @description What If-None-Match names is still so. */
            304: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    RateLimit: components["headers"]["RateLimit"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    ETag: components["headers"]["ETag"];
                    Age: components["headers"]["Age"];
                    "Cache-Control": components["headers"]["Cache-Control"];
                    "Cache-Status": components["headers"]["Cache-Status"];
                    Vary: components["headers"]["Vary"];
                    Link: components["headers"]["Link"];
                    [name: string]: unknown;
                };
                content?: never;
            };
            400: components["responses"]["Problem400"];
            401: components["responses"]["Problem401"];
            403: components["responses"]["Problem403"];
            414: components["responses"]["Problem414"];
            429: components["responses"]["Problem429"];
            431: components["responses"]["Problem431"];
            500: components["responses"]["Problem500"];
            502: components["responses"]["Problem502"];
            503: components["responses"]["Problem503"];
            504: components["responses"]["Problem504"];
        };
    };
    getBreakdown: {
        parameters: {
            query?: {
                /** @description Counts more than Accept: JSON, CSV for a spreadsheet, or a table for a terminal. */
                format?: "json" | "csv" | "text";
                /** @description With `format=csv` only: begin with a byte order mark, without which Excel shows other letters for some. */
                bom?: "true" | "false";
                /** @description `id`, or an asset that a merchant lists: its total, the smallest first; with `-` before it, the other way round. */
                sort?: string;
                /** @description How many on a page. */
                limit?: number;
                /** @description `next` of the page before: the one that follows, of the same version of the view. */
                after?: string;
                /** @description The past: how it was at that moment. It goes with no request directives. */
                at?: string;
            };
            header?: {
                /** @description How old the answer may be (RFC 9111, 5.2.1): max-age, max-stale, min-fresh, no-cache, only-if-cached. */
                "Cache-Control"?: components["parameters"]["Cache-Control"];
                /** @description wait=n: wait up to n seconds for what is new, 25 at most (RFC 7240); beside If-None-Match, if that is taken. */
                Prefer?: components["parameters"]["Prefer"];
                /** @description The ETag of the answer that you have: 304 if it is still so. */
                "If-None-Match"?: components["parameters"]["If-None-Match"];
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The merchants that the caller may read. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    RateLimit: components["headers"]["RateLimit"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    ETag: components["headers"]["ETag"];
                    Age: components["headers"]["Age"];
                    "Cache-Control": components["headers"]["Cache-Control"];
                    "Cache-Status": components["headers"]["Cache-Status"];
                    Vary: components["headers"]["Vary"];
                    "Preference-Applied": components["headers"]["Preference-Applied"];
                    Link: components["headers"]["Link"];
                    /** @description For callers who may read all merchants: how their fetching is (`running`, `idle`, `starved`), in how many seconds every merchant is known, and how many a round over all takes. A structured field (RFC 9651). */
                    Sweep?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Breakdown"] | components["schemas"]["PastBreakdown"];
                    "text/csv": string;
                    "text/plain": string;
                };
            };
            /** @description What If-None-Match names is still so. */
            304: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    RateLimit: components["headers"]["RateLimit"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    ETag: components["headers"]["ETag"];
                    Age: components["headers"]["Age"];
                    "Cache-Control": components["headers"]["Cache-Control"];
                    "Cache-Status": components["headers"]["Cache-Status"];
                    Vary: components["headers"]["Vary"];
                    "Preference-Applied": components["headers"]["Preference-Applied"];
                    Link: components["headers"]["Link"];
                    [name: string]: unknown;
                };
                content?: never;
            };
            400: components["responses"]["Problem400"];
            401: components["responses"]["Problem401"];
            403: components["responses"]["Problem403"];
            404: components["responses"]["Problem404"];
            410: components["responses"]["Problem410"];
            414: components["responses"]["Problem414"];
            429: components["responses"]["Problem429"];
            431: components["responses"]["Problem431"];
            500: components["responses"]["Problem500"];
            502: components["responses"]["Problem502"];
            503: components["responses"]["Problem503"];
            504: components["responses"]["Problem504"];
        };
    };
    getHolders: {
        parameters: {
            query?: {
                /** @description Counts more than Accept: JSON, CSV for a spreadsheet, or a table for a terminal. */
                format?: "json" | "csv" | "text";
                /** @description With `format=csv` only: begin with a byte order mark, without which Excel shows other letters for some. */
                bom?: "true" | "false";
                /** @description How many on a page. */
                limit?: number;
                /** @description `next` of the page before: the one that follows, of the same version of the view. */
                after?: string;
            };
            header?: {
                /** @description How old the answer may be (RFC 9111, 5.2.1): max-age, max-stale, min-fresh, no-cache, only-if-cached. */
                "Cache-Control"?: components["parameters"]["Cache-Control"];
                /** @description wait=n: wait up to n seconds for what is new, 25 at most (RFC 7240); beside If-None-Match, if that is taken. */
                Prefer?: components["parameters"]["Prefer"];
                /** @description The ETag of the answer that you have: 304 if it is still so. */
                "If-None-Match"?: components["parameters"]["If-None-Match"];
            };
            path: {
                /** @description The asset, as the upstream names it, percent-encoded: a `/` in it is `%2F`. */
                assetId: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The holders, the largest first. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    RateLimit: components["headers"]["RateLimit"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    ETag: components["headers"]["ETag"];
                    Age: components["headers"]["Age"];
                    "Cache-Control": components["headers"]["Cache-Control"];
                    "Cache-Status": components["headers"]["Cache-Status"];
                    Vary: components["headers"]["Vary"];
                    "Preference-Applied": components["headers"]["Preference-Applied"];
                    Link: components["headers"]["Link"];
                    /** @description For callers who may read all merchants: how their fetching is (`running`, `idle`, `starved`), in how many seconds every merchant is known, and how many a round over all takes. A structured field (RFC 9651). */
                    Sweep?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Holders"];
                    "text/csv": string;
                    "text/plain": string;
                };
            };
            /** @description What If-None-Match names is still so. */
            304: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    RateLimit: components["headers"]["RateLimit"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    ETag: components["headers"]["ETag"];
                    Age: components["headers"]["Age"];
                    "Cache-Control": components["headers"]["Cache-Control"];
                    "Cache-Status": components["headers"]["Cache-Status"];
                    Vary: components["headers"]["Vary"];
                    "Preference-Applied": components["headers"]["Preference-Applied"];
                    Link: components["headers"]["Link"];
                    [name: string]: unknown;
                };
                content?: never;
            };
            400: components["responses"]["Problem400"];
            401: components["responses"]["Problem401"];
            403: components["responses"]["Problem403"];
            404: components["responses"]["Problem404"];
            410: components["responses"]["Problem410"];
            414: components["responses"]["Problem414"];
            429: components["responses"]["Problem429"];
            431: components["responses"]["Problem431"];
            500: components["responses"]["Problem500"];
            502: components["responses"]["Problem502"];
            503: components["responses"]["Problem503"];
            504: components["responses"]["Problem504"];
        };
    };
    getReconciliation: {
        parameters: {
            query?: {
                /** @description Counts more than Accept: JSON, CSV for a spreadsheet, or a table for a terminal. */
                format?: "json" | "csv" | "text";
                /** @description With `format=csv` only: begin with a byte order mark, without which Excel shows other letters for some. */
                bom?: "true" | "false";
            };
            header?: {
                /** @description The ETag of the answer that you have: 304 if it is still so. */
                "If-None-Match"?: components["parameters"]["If-None-Match"];
            };
            path: {
                /** @description The id that the POST gave. */
                reconciliationId: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Its state, or its result. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    RateLimit: components["headers"]["RateLimit"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    ETag: components["headers"]["ETag"];
                    Age: components["headers"]["Age"];
                    "Cache-Control": components["headers"]["Cache-Control"];
                    "Cache-Status": components["headers"]["Cache-Status"];
                    Vary: components["headers"]["Vary"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Reconciliation"];
                    "text/csv": string;
                    "text/plain": string;
                };
            };
            /** @description What If-None-Match names is still so. */
            304: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    RateLimit: components["headers"]["RateLimit"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    ETag: components["headers"]["ETag"];
                    Age: components["headers"]["Age"];
                    "Cache-Control": components["headers"]["Cache-Control"];
                    "Cache-Status": components["headers"]["Cache-Status"];
                    Vary: components["headers"]["Vary"];
                    [name: string]: unknown;
                };
                content?: never;
            };
            400: components["responses"]["Problem400"];
            401: components["responses"]["Problem401"];
            403: components["responses"]["Problem403"];
            404: components["responses"]["Problem404"];
            414: components["responses"]["Problem414"];
            429: components["responses"]["Problem429"];
            431: components["responses"]["Problem431"];
            500: components["responses"]["Problem500"];
            502: components["responses"]["Problem502"];
            503: components["responses"]["Problem503"];
            504: components["responses"]["Problem504"];
        };
    };
    watch: {
        parameters: {
            query: {
                /** @description 1 to 1,000 merchant ids, separated by commas, or `all` that you may read. */
                merchantId: string;
                /** @description `true`: the upstream's aggregate, too, as merchant 0. */
                portfolio?: "true" | "false";
                /** @description Only these assets: ids, separated by commas. In an id, write a comma as `%2C` and a `%` as `%25`, then encode. */
                assets?: string;
                /** @description The age in seconds that balances reach at most: 5 to 600, 35 if left out. `hello` says what is expected. */
                within?: string;
                /** @description The id of the last event that you have. A `Last-Event-ID` header counts more. */
                after?: string;
                /** @description Counts more than Accept: server-sent events, JSON lines, or lines for a terminal. */
                format?: "events" | "jsonl" | "text";
            };
            header?: {
                /** @description The id of the last event that you have. */
                "Last-Event-ID"?: components["parameters"]["Last-Event-ID"];
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Events, until the stream ends. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    RateLimit: components["headers"]["RateLimit"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    "Cache-Control": components["headers"]["Cache-Control"];
                    Vary: components["headers"]["Vary"];
                    [name: string]: unknown;
                };
                content: {
                    "text/event-stream": string;
                    "application/jsonl": string;
                    "text/plain": string;
                };
            };
            400: components["responses"]["Problem400"];
            401: components["responses"]["Problem401"];
            403: components["responses"]["Problem403"];
            414: components["responses"]["Problem414"];
            429: components["responses"]["Problem429"];
            431: components["responses"]["Problem431"];
            500: components["responses"]["Problem500"];
            502: components["responses"]["Problem502"];
            503: components["responses"]["Problem503"];
            504: components["responses"]["Problem504"];
        };
    };
    getMerchantChanges: {
        parameters: {
            query?: {
                /** @description Changes found from then on (RFC 3339). */
                from?: string;
                /** @description Changes found before then. */
                until?: string;
                /** @description Only these assets: ids, separated by commas. In an id, write a comma as `%2C` and a `%` as `%25`, then encode. */
                assets?: string;
                /** @description Counts more than Accept: JSON, CSV for a spreadsheet, or a table for a terminal. */
                format?: "json" | "csv" | "text";
                /** @description With `format=csv` only: begin with a byte order mark, without which Excel shows other letters for some. */
                bom?: "true" | "false";
                /** @description How many on a page. */
                limit?: number;
                /** @description The `next` of the answer before. */
                after?: string;
            };
            header?: never;
            path: {
                /** @description The merchant, as the upstream numbers it. */
                merchantId: number;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Its changes, oldest first. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    RateLimit: components["headers"]["RateLimit"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    "Cache-Control": components["headers"]["Cache-Control"];
                    Vary: components["headers"]["Vary"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Changes"];
                    "text/csv": string;
                    "text/plain": string;
                };
            };
            400: components["responses"]["Problem400"];
            401: components["responses"]["Problem401"];
            403: components["responses"]["Problem403"];
            404: components["responses"]["Problem404"];
            410: components["responses"]["Problem410"];
            414: components["responses"]["Problem414"];
            429: components["responses"]["Problem429"];
            431: components["responses"]["Problem431"];
            500: components["responses"]["Problem500"];
            502: components["responses"]["Problem502"];
            503: components["responses"]["Problem503"];
            504: components["responses"]["Problem504"];
        };
    };
    getPortfolioChanges: {
        parameters: {
            query?: {
                /** @description Changes found from then on (RFC 3339). */
                from?: string;
                /** @description Changes found before then. */
                until?: string;
                /** @description Only these assets: ids, separated by commas. In an id, write a comma as `%2C` and a `%` as `%25`, then encode. */
                assets?: string;
                /** @description Counts more than Accept: JSON, CSV for a spreadsheet, or a table for a terminal. */
                format?: "json" | "csv" | "text";
                /** @description With `format=csv` only: begin with a byte order mark, without which Excel shows other letters for some. */
                bom?: "true" | "false";
                /** @description How many on a page. */
                limit?: number;
                /** @description The `next` of the answer before. */
                after?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Its changes, oldest first. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    RateLimit: components["headers"]["RateLimit"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    "Cache-Control": components["headers"]["Cache-Control"];
                    Vary: components["headers"]["Vary"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Changes"];
                    "text/csv": string;
                    "text/plain": string;
                };
            };
            400: components["responses"]["Problem400"];
            401: components["responses"]["Problem401"];
            403: components["responses"]["Problem403"];
            404: components["responses"]["Problem404"];
            410: components["responses"]["Problem410"];
            414: components["responses"]["Problem414"];
            429: components["responses"]["Problem429"];
            431: components["responses"]["Problem431"];
            500: components["responses"]["Problem500"];
            502: components["responses"]["Problem502"];
            503: components["responses"]["Problem503"];
            504: components["responses"]["Problem504"];
        };
    };
    getChanges: {
        parameters: {
            query: {
                /** @description 1 to 1,000 merchant ids, separated by commas, or `all` that you may read. */
                merchantId: string;
                /** @description Counts more than Accept: JSON, CSV for a spreadsheet, or a table for a terminal. */
                format?: "json" | "csv" | "text";
                /** @description With `format=csv` only: begin with a byte order mark, without which Excel shows other letters for some. */
                bom?: "true" | "false";
                /** @description How many on a page. */
                limit?: number;
                /** @description The `next` of the answer before. */
                after?: string;
            };
            header?: {
                /** @description wait=n: wait up to n seconds for what is new, 25 at most (RFC 7240); beside If-None-Match, if that is taken. */
                Prefer?: components["parameters"]["Prefer"];
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Changes in the order recorded, each at least once. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    RateLimit: components["headers"]["RateLimit"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    "Cache-Control": components["headers"]["Cache-Control"];
                    Vary: components["headers"]["Vary"];
                    "Preference-Applied": components["headers"]["Preference-Applied"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Feed"];
                    "text/csv": string;
                    "text/plain": string;
                };
            };
            400: components["responses"]["Problem400"];
            401: components["responses"]["Problem401"];
            403: components["responses"]["Problem403"];
            404: components["responses"]["Problem404"];
            410: components["responses"]["Problem410"];
            414: components["responses"]["Problem414"];
            429: components["responses"]["Problem429"];
            431: components["responses"]["Problem431"];
            500: components["responses"]["Problem500"];
            502: components["responses"]["Problem502"];
            503: components["responses"]["Problem503"];
            504: components["responses"]["Problem504"];
        };
    };
    getMe: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The caller, as it is known now. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    RateLimit: components["headers"]["RateLimit"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    "Cache-Control": components["headers"]["Cache-Control"];
                    Vary: components["headers"]["Vary"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Me"];
                };
            };
            400: components["responses"]["Problem400"];
            401: components["responses"]["Problem401"];
            414: components["responses"]["Problem414"];
            429: components["responses"]["Problem429"];
            431: components["responses"]["Problem431"];
            500: components["responses"]["Problem500"];
            503: components["responses"]["Problem503"];
            504: components["responses"]["Problem504"];
        };
    };
    reportMoves: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["BatchQuestion"];
            };
        };
        responses: {
            /** @description They are marked, and looked at. */
            202: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    RateLimit: components["headers"]["RateLimit"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    Location: components["headers"]["Location"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Moved"];
                };
            };
            400: components["responses"]["Problem400"];
            401: components["responses"]["Problem401"];
            403: components["responses"]["Problem403"];
            408: components["responses"]["Problem408"];
            413: components["responses"]["Problem413"];
            414: components["responses"]["Problem414"];
            429: components["responses"]["Problem429"];
            431: components["responses"]["Problem431"];
            500: components["responses"]["Problem500"];
            502: components["responses"]["Problem502"];
            503: components["responses"]["Problem503"];
            504: components["responses"]["Problem504"];
        };
    };
    getLiveness: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description It is. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Alive"];
                };
            };
            400: components["responses"]["Problem400"];
            414: components["responses"]["Problem414"];
            431: components["responses"]["Problem431"];
            500: components["responses"]["Problem500"];
        };
    };
    getReadiness: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description It may. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Readiness"];
                };
            };
            400: components["responses"]["Problem400"];
            414: components["responses"]["Problem414"];
            431: components["responses"]["Problem431"];
            500: components["responses"]["Problem500"];
            /** @description It may not. */
            503: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    RateLimit: components["headers"]["RateLimit"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    "Retry-After": components["headers"]["Retry-After"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Readiness"];
                };
            };
        };
    };
}
