/** Requests: what a caller asks for, as headers and parameters. */

import type { Call } from "./http.ts";
import type { ReadOptions } from "./options.ts";

/** Make the call of a read. */
export function readCall(path: string, query: Record<string, string | undefined>, options: ReadOptions): Call {
  const directives = [
    options.maxAge === undefined ? "" : `max-age=${options.maxAge}`,
    options.maxStale === undefined ? "" : options.maxStale === true ? "max-stale" : `max-stale=${options.maxStale}`,
    options.minFresh === undefined ? "" : `min-fresh=${options.minFresh}`,
    options.noCache ? "no-cache" : "",
    options.onlyIfCached ? "only-if-cached" : "",
  ].filter(Boolean);
  const headers: Record<string, string> = directives.length ? { "cache-control": directives.join(", ") } : {};
  const { waitSeconds, signal, deadlineSeconds } = options;
  if (waitSeconds !== undefined) headers["prefer"] = `wait=${waitSeconds}`;
  return { path, query, headers, repeats: true, signal, deadlineSeconds, waitSeconds };
}

/** Return an id. Raises `RangeError` for one that JavaScript may have rounded. */
export function exact(merchantId: number): number {
  if (!Number.isSafeInteger(merchantId)) throw new RangeError(`${merchantId} is no exact whole number.`);
  return merchantId;
}

/** Return the path of a merchant. Raises `RangeError` as `exact` does. */
export function merchantPath(merchantId: number): string {
  return `/v1/merchants/${exact(merchantId)}`;
}

/** Write merchants as a parameter. Raises `RangeError` as `exact` does. */
export function listMerchants(merchantIds: readonly number[] | "all"): string {
  return merchantIds === "all" ? "all" : merchantIds.map(exact).join(",");
}

/** Write the parameters that choose rows. Commas separate ids, so a comma in an id is written as `%2C`. */
export function listAssets(options: { assets?: readonly string[]; nonzero?: boolean }): Record<string, string | undefined> {
  const { assets, nonzero } = options;
  const written = assets?.map((id) => id.replaceAll("%", "%25").replaceAll(",", "%2C")).join(",");
  return { assets: written, nonzero: nonzero === undefined ? undefined : String(nonzero) };
}
