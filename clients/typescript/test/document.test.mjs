// Each operation of the document, and each of its parameters, can be asked for by the client.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { Tallygate } from "../dist/tallygate.js";

const document = JSON.parse(readFileSync(new URL("../../openapi.json", import.meta.url), "utf8"));
const operations = Object.values(document.paths).flatMap((item) => Object.values(item));
const AT = "2026-11-25T17:00:00Z";
const reads = { maxAge: 1, maxStale: true, minFresh: 1, noCache: true, onlyIfCached: true, waitSeconds: 20 };
const rows = { assets: ["a"], nonzero: true };
const page = { limit: 2, after: "x" };
const { waitSeconds, ...directives } = reads;

/** The methods of each operation, and what they are called with. */
const METHODS = {
  getMe: [["getMe"]],
  reportMoves: [["reportMoves", [1]]],
  getMerchantBalances: [["getMerchantBalances", 1, { ...reads, ...rows }], ["getMerchantBalancesAt", 1, AT, rows]],
  getAssetBalance: [["getAssetBalance", 1, "USDT", reads]],
  getPortfolio: [["getPortfolio", { ...reads, ...rows }], ["getPortfolioAt", AT, rows]],
  getBalances: [["getBalances", [1], { ...reads, ...rows, require: "complete" }]],
  queryBalances: [["queryBalances", [1], { ...directives, ...rows, require: "complete" }]],
  listMerchants: [["listMerchants", { ...page, search: "1" }], ["eachMerchantsPage", { ...page, search: "1" }]],
  getBreakdown: [["getBreakdown", { ...reads, ...page, sort: "id" }], ["getBreakdownAt", AT, page], ["eachBreakdownPage", { ...reads, ...page }]],
  getHolders: [["getHolders", "USDT", { ...reads, ...page }], ["eachHoldersPage", "USDT", { ...reads, ...page }]],
  getLastReconciliation: [["getLastReconciliation"]],
  getReconciliation: [["getReconciliation", "x"]],
  startReconciliation: [["startReconciliation"]],
  getMerchantChanges: [["getMerchantChanges", 1, { ...page, from: AT, until: AT, assets: ["a"] }]],
  getPortfolioChanges: [["getPortfolioChanges", { ...page, from: AT, until: AT, assets: ["a"] }]],
  getUpstreamBalances: [["getUpstreamBalances", 1, reads]],
  getLiveness: [["getLiveness"]],
  getReadiness: [["getReadiness"]],
  watch: [["watch", { merchantIds: "all", portfolio: true, assets: ["a"], within: 10, after: "x" }]],
  getChanges: [["changes", { merchantIds: "all", limit: 2, after: "x", waitSeconds: 20 }]],
};
const NOT_OFFERED = ["format", "bom"]; // the clients read JSON: a table says nothing of its age to a program
const BY_ITSELF = ["If-None-Match"]; // sent with the tag of the last answer: requests.test.mjs
const HEADERS = ["Cache-Control", "Prefer", "Last-Event-ID"];

function documented({ operationId, parameters = [] }) {
  const found = parameters.map((one) => (one.$ref ? document.components.parameters[one.$ref.split("/").at(-1)] : one));
  const names = found.filter((one) => one.in === "query" || one.in === "header").map(({ name }) => name);
  const without = [...NOT_OFFERED, ...BY_ITSELF, ...(operationId === "watch" ? ["after"] : [])]; // Last-Event-ID says it
  return names.filter((name) => !without.includes(name)).sort();
}

async function sentBy([method, ...words]) {
  let sent;
  const fetch = async (url, { headers }) => {
    sent = { names: [...new URL(url).searchParams.keys()], headers };
    return new Response(JSON.stringify({ type: "/problems/forbidden", detail: "", status: 403 }), { status: 403 });
  };
  const result = new Tallygate({ url: "http://gateway.test", fetch })[method](...words);
  await assert.rejects(typeof result.next === "function" ? result.next() : result, { kind: "forbidden" });
  const given = HEADERS.filter((name) => sent.headers.has(name) && sent.headers.get(name) !== "no-transform");
  return { names: [...sent.names, ...given], headers: sent.headers };
}

test("each operation has its methods, and no method is without one", () => {
  assert.deepEqual(Object.keys(METHODS).sort(), operations.map(({ operationId }) => operationId).sort());
  const named = Object.values(METHODS).flatMap((calls) => calls.map(([method]) => method));
  const methods = Object.getOwnPropertyNames(Tallygate.prototype).filter((name) => name !== "constructor");
  assert.deepEqual([...named].sort(), methods.sort());
});

for (const operation of operations) {
  test(`each parameter of ${operation.operationId} can be given`, async () => {
    const sent = new Set();
    for (const call of METHODS[operation.operationId]) {
      const { names, headers } = await sentBy(call);
      names.forEach((name) => sent.add(name));
      if (sent.has("Cache-Control") && !call.includes(AT)) {
        assert.equal(headers.get("cache-control"), "max-age=1, max-stale, min-fresh=1, no-cache, only-if-cached");
      }
    }
    assert.deepEqual([...sent].sort(), documented(operation));
  });
}
