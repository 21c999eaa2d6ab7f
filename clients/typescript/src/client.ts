/** The client: one method for each operation of the gateway, with its name. */

import type { Answer } from "./answers.ts";
import { systemClock, type Clock } from "./clock.ts";
import { followChanges } from "./feed.ts";
import { Http, type Call, type KeySource, type Received } from "./http.ts";
import { judgeAccount, judgeListing, judgeMerchants } from "./judging.ts";
import type { ChangesOptions, FeedEvent, WatchEvent, WatchOptions } from "./live.ts";
import type {
  AccountOptions,
  CallOptions,
  ChangesQuery,
  ListOptions,
  PageOptions,
  PastOptions,
  PlainPageOptions,
  QueryOptions,
  ReadOptions,
} from "./options.ts";
import { exact, listAssets, listMerchants, merchantPath, readCall } from "./requests.ts";
import type * as views from "./views.ts";
import { watch } from "./watch.ts";

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
export class Tallygate {
  readonly #http: Http;

  constructor({ url, credential, deadlineSeconds = 30, fetch = globalThis.fetch, clock = systemClock }: TallygateOptions) {
    this.#http = new Http({ url: url ?? new URL(import.meta.url).origin, credential, deadlineSeconds, fetch, clock });
  }

  async getMerchantBalances(merchantId: number, options: AccountOptions = {}): Promise<Answer<views.Account>> {
    return this.#account(`${merchantPath(merchantId)}/balances`, options);
  }

  /** One asset of a merchant. An asset named `.` or `..` has no path: read it with `getMerchantBalances`. */
  async getAssetBalance(merchantId: number, assetId: string, options: ReadOptions = {}): Promise<Answer<views.Asset>> {
    const received = await this.#read(`${merchantPath(merchantId)}/balances/${segment(assetId)}`, {}, options);
    return judgeAccount<views.Asset & { anomalies?: never }>(received, received.json as views.Asset);
  }

  /** The upstream's own sum over all merchants. */
  async getPortfolio(options: AccountOptions = {}): Promise<Answer<views.Account>> {
    return this.#account("/v1/portfolio", options);
  }

  async getBalances(
    merchantIds: readonly number[],
    options: ListOptions = {},
  ): Promise<Answer<views.Batch, views.WholeBatch>> {
    const query = { merchantId: listMerchants(merchantIds), ...listAssets(options), require: options.require };
    return judgeListing(await this.#read("/v1/balances", query, options));
  }

  /** As `getBalances`, for lists that are too long for a URL: up to 1,000 merchants. */
  async queryBalances(
    merchantIds: readonly number[],
    options: QueryOptions = {},
  ): Promise<Answer<views.Batch, views.WholeBatch>> {
    const query = { ...listAssets(options), require: options.require };
    const call = readCall("/v1/balances", query, options);
    return judgeListing(await this.#http.call({ ...call, method: "POST", body: { merchantIds: merchantIds.map(exact) } }));
  }

  async listMerchants(options: PlainPageOptions & { search?: string } = {}): Promise<Answer<views.Merchants>> {
    const { search, limit, after } = options;
    return judgeMerchants(await this.#read("/v1/merchants", { search, limit: text(limit), after }, options));
  }

  async getBreakdown(
    options: PageOptions & { sort?: string } = {},
  ): Promise<Answer<views.Breakdown, views.WholeBreakdown>> {
    const { sort, limit, after } = options;
    return judgeListing(await this.#read("/v1/portfolio/merchants", { sort, limit: text(limit), after }, options));
  }

  async getHolders(assetId: string, options: PageOptions = {}): Promise<Answer<views.Holders, views.WholeHolders>> {
    const query = { limit: text(options.limit), after: options.after };
    return judgeListing(await this.#read(`/v1/portfolio/assets/${segment(assetId)}`, query, options));
  }

  /** All pages of the list of merchants. */
  eachMerchantsPage(options: PlainPageOptions & { search?: string } = {}): AsyncGenerator<Answer<views.Merchants>, void> {
    return eachPage((after) => this.listMerchants({ ...options, ...after }), options.after);
  }

  /** All pages of one version of the breakdown. Raises the problem `view-gone` if you take more than 5 minutes. */
  eachBreakdownPage(
    options: PageOptions & { sort?: string } = {},
  ): AsyncGenerator<Answer<views.Breakdown, views.WholeBreakdown>, void> {
    return eachPage(({ after }) => {
      const { sort, ...rest } = options; // a cursor has the order in it
      return this.getBreakdown(after === undefined ? { ...rest, ...(sort && { sort }) } : { ...rest, after });
    }, options.after);
  }

  /** All pages of one version of the holders. Raises the problem `view-gone` if you take more than 5 minutes. */
  eachHoldersPage(
    assetId: string,
    options: PageOptions = {},
  ): AsyncGenerator<Answer<views.Holders, views.WholeHolders>, void> {
    return eachPage((after) => this.getHolders(assetId, { ...options, ...after }), options.after);
  }

  async getLastReconciliation(options: CallOptions = {}): Promise<views.Reconciliation> {
    return (await this.#read("/v1/portfolio/reconciliation", {}, options)).json as views.Reconciliation;
  }

  async getReconciliation(id: string, options: CallOptions = {}): Promise<views.Reconciliation> {
    return (await this.#read(`/v1/portfolio/reconciliations/${segment(id)}`, {}, options)).json as views.Reconciliation;
  }

  /** Start a comparison. It is sent once: without an answer you do not know whether it has started. */
  async startReconciliation(options: CallOptions = {}): Promise<views.Reconciliation> {
    const call: Call = { ...readCall("/v1/portfolio/reconciliation", {}, options), method: "POST", repeats: false };
    return (await this.#http.call(call)).json as views.Reconciliation;
  }

  /** A merchant's balances in the upstream's own shape. Raises `EnvelopeError`, since problems have that shape too. */
  async getUpstreamBalances(merchantId: number, options: ReadOptions = {}): Promise<Answer<views.UpstreamAccount>> {
    const received = await this.#read("/v2/assets/account/assets", { merchantId: String(exact(merchantId)) }, options);
    return judgeAccount(received, (received.json as { data: views.UpstreamAccount }).data);
  }

  /** Report that money was moved: what is older than now is fetched before it is served. It needs the right `moves`. */
  async reportMoves(merchantIds: readonly number[], options: CallOptions = {}): Promise<views.Moved> {
    const call: Call = { ...readCall("/v1/moved", {}, options), method: "POST", body: { merchantIds: merchantIds.map(exact) } };
    return (await this.#http.call(call)).json as views.Moved;
  }

  /** Who you are for the gateway, what you may read, how fast, and until when. */
  async getMe(options: CallOptions = {}): Promise<views.Me> {
    return (await this.#read("/v1/me", {}, options)).json as views.Me;
  }

  async getLiveness(options: CallOptions = {}): Promise<views.Alive> {
    return (await this.#read("/health/live", {}, options)).json as views.Alive;
  }

  /** Whether the gateway wants requests. One that does not is no error here. */
  async getReadiness(options: CallOptions = {}): Promise<views.Readiness> {
    const call = { ...readCall("/health/ready", {}, options), accepts: [503] };
    return (await this.#http.call(call)).json as views.Readiness;
  }

  /** A merchant's balances at a moment of the past (RFC 3339). `certainty` says whether looks before and after agree. */
  async getMerchantBalancesAt(merchantId: number, at: string, options: PastOptions = {}): Promise<views.Past> {
    return this.#past(`${merchantPath(merchantId)}/balances`, at, options);
  }

  /** The upstream's own sum at a moment of the past (RFC 3339). */
  async getPortfolioAt(at: string, options: PastOptions = {}): Promise<views.Past> {
    return this.#past("/v1/portfolio", at, options);
  }

  /** A page of every merchant at a moment of the past (RFC 3339). `totals` are there only if all is certain. */
  async getBreakdownAt(at: string, options: PlainPageOptions = {}): Promise<views.PastBreakdown> {
    const query = { at, limit: text(options.limit), after: options.after };
    return (await this.#read("/v1/portfolio/merchants", query, options)).json as views.PastBreakdown;
  }

  /** A page of the changes of one merchant, oldest first. */
  async getMerchantChanges(merchantId: number, options: ChangesQuery = {}): Promise<views.Changes> {
    return this.#changes(`${merchantPath(merchantId)}/changes`, options);
  }

  /** A page of the changes of the upstream's own sum. */
  async getPortfolioChanges(options: ChangesQuery = {}): Promise<views.Changes> {
    return this.#changes("/v1/portfolio/changes", options);
  }

  /** Follow all changes from a cursor on, or from the oldest that is kept, each at least once, until your signal. */
  changes(options: ChangesOptions): AsyncGenerator<FeedEvent, void> {
    return followChanges(this.#http, options);
  }

  /** Follow balances as they change, until your signal. Raises only what asking again cannot help. */
  watch(options: WatchOptions): AsyncGenerator<WatchEvent, void> {
    return watch(this.#http, options);
  }

  #read(path: string, query: Record<string, string | undefined>, options: ReadOptions): Promise<Received> {
    return this.#http.call(readCall(path, query, options));
  }

  async #account(path: string, options: AccountOptions): Promise<Answer<views.Account>> {
    const received = await this.#read(path, listAssets(options), options);
    return judgeAccount(received, received.json as views.Account);
  }

  async #past(path: string, at: string, options: PastOptions): Promise<views.Past> {
    return (await this.#read(path, { at, ...listAssets(options) }, options)).json as views.Past;
  }

  async #changes(path: string, options: ChangesQuery): Promise<views.Changes> {
    const { from, until, limit, after } = options;
    const query = { from, until, ...listAssets(options), limit: text(limit), after };
    return (await this.#read(path, query, options)).json as views.Changes;
  }
}

async function* eachPage<T extends { next?: string }, Whole extends T>(
  read: (after: { after?: string }) => Promise<Answer<T, Whole>>,
  first: string | undefined,
): AsyncGenerator<Answer<T, Whole>, void> {
  for (let after = first; ; ) {
    const answer = await read(after === undefined ? {} : { after });
    yield answer;
    const { next } = "value" in answer ? answer.value : "staleValue" in answer ? answer.staleValue : answer.partialValue;
    if (next === undefined) return;
    after = next;
  }
}

function segment(name: string): string {
  if (name === "." || name === "..") throw new RangeError(`No path leads to ${name}: every client would shorten it.`);
  return encodeURIComponent(name);
}

function text(limit: number | undefined): string | undefined {
  return limit === undefined ? undefined : String(limit);
}
