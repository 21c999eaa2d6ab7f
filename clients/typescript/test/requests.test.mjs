// Calls against a gateway that answers what the test says: repetitions, deadlines, tags, what an answer is taken for.
import assert from "node:assert/strict";
import { test } from "node:test";

import { acceptPartial, acceptStale, EnvelopeError, NoAnswerError, ProblemError, Tallygate, TooOldError, UnexpectedAnswerError } from "../dist/tallygate.js";
import { fakeClock, openFake, refuse } from "./support/fake_gateway.mjs";

const ACCOUNT = { merchantId: 1, canDeposit: true, asOf: "2026-11-23T10:00:00.123Z", balances: [] };

async function withFake(t, handler, options = {}) {
  const fake = await openFake(handler);
  t.after(fake.close);
  const clock = fakeClock();
  return { fake, clock, client: new Tallygate({ url: fake.url, credential: "tg_x", clock, ...options }) };
}

function answer(response, body, headers = {}) {
  response.writeHead(200, { "content-type": "application/json", age: "2", "cache-status": "tallygate; hit; ttl=3", ...headers });
  response.end(JSON.stringify(body));
}

for (const status of [429, 503]) {
  test(`a ${status} is asked again after Retry-After`, async (t) => {
    const { fake, clock, client } = await withFake(t, (_, response, number) =>
      number < 2 ? refuse(response, status, "too-fast", { "retry-after": "3" }) : answer(response, ACCOUNT));
    assert.equal((await client.getMerchantBalances(1)).state, "fresh");
    assert.deepEqual([fake.requests.length, clock.slept], [3, [3000, 3000]]);
  });
}

test("a Retry-After beyond the deadline is not waited for", async (t) => {
  const { clock, client } = await withFake(t, (_, response) => refuse(response, 503, "breaker-open", { "retry-after": "60" }));
  const error = await client.getPortfolio().catch((error) => error);
  assert.ok(error instanceof ProblemError);
  assert.deepEqual([error.kind, error.status, error.retryAfter, error.requestId, clock.slept], ["breaker-open", 503, 60, "r", []]);
});

test("a problem that waiting does not help is raised, also with Retry-After", async (t) => {
  const { fake, client } = await withFake(t, (_, response) => refuse(response, 403, "forbidden", { "retry-after": "1" }));
  await assert.rejects(client.getPortfolio(), { kind: "forbidden" });
  assert.equal(fake.requests.length, 1);
});

test("a network that fails is tried again with longer and longer pauses", async (t) => {
  const { clock, client } = await withFake(t, (request, response, number) =>
    number < 3 ? request.socket.destroy() : answer(response, ACCOUNT));
  await client.getMerchantBalances(1);
  assert.deepEqual(clock.slept, [250, 500, 1000]);
});

test("a reconciliation is started once, unless it was refused before it began", async (t) => {
  const { fake, client } = await withFake(t, (request, response, number) =>
    number === 0 ? refuse(response, 429, "too-fast", { "retry-after": "1" }) : request.socket.destroy());
  await assert.rejects(client.startReconciliation(), NoAnswerError);
  assert.equal(fake.requests.length, 2);
});

test("no answer until the deadline is an error, and the request is given up", async (t) => {
  const { clock, client, fake } = await withFake(t, () => setImmediate(() => clock.pass()));
  await assert.rejects(client.getPortfolio(), { name: "NoAnswerError", message: "There was no answer in time." });
  assert.equal(fake.requests.length, 1);
});

test("an attempt may take what is left of the deadline, and a wait comes on top", async (t) => {
  const clock = fakeClock(1);
  const pass = () => setImmediate(() => clock.pass());
  const { client } = await withFake(t, pass, { clock, deadlineSeconds: 5 });
  await assert.rejects(client.getPortfolio(), NoAnswerError);
  assert.equal(clock.now(), 5000);
  await assert.rejects(client.getPortfolio({ waitSeconds: 20 }), NoAnswerError);
  assert.equal(clock.now(), 30_000);
});

test("a start that was refused for another reason than haste is not repeated", async (t) => {
  const { fake, client } = await withFake(t, (_, response) => refuse(response, 503, "store-unavailable", { "retry-after": "1" }));
  await assert.rejects(client.startReconciliation(), { kind: "store-unavailable" });
  assert.equal(fake.requests.length, 1);
});

test("a refusal ends what was known, and a question in a body has no tag", async (t) => {
  const { fake, client } = await withFake(t, (_, response, number) => {
    if (number === 1) return refuse(response, 404, "unknown-merchant");
    answer(response, number < 3 ? ACCOUNT : { complete: true, coverage: { stale: 0, unavailable: 0 }, merchants: [] }, { etag: 'W/"1"' });
  });
  await client.getMerchantBalances(1);
  await assert.rejects(client.getMerchantBalances(1), { kind: "unknown-merchant" });
  await client.getMerchantBalances(1);
  for (let times = 0; times < 2; times++) await client.queryBalances([1]);
  assert.deepEqual(fake.requests.map(({ headers }) => headers["if-none-match"]), [undefined, 'W/"1"', undefined, undefined, undefined]);
});

test("no cache of the platform is used, and no redirect is followed with the key", async () => {
  const asked = [];
  const fetch = async (_, { cache, redirect }) => (asked.push([cache, redirect]), new Response(JSON.stringify(ACCOUNT)));
  await new Tallygate({ url: "http://gateway.test", fetch }).getPortfolio();
  assert.deepEqual(asked, [["no-store", "error"]]);
});

test("what is known is bounded, and the latest stays", async (t) => {
  const large = { ...ACCOUNT, filling: "x".repeat(6 * 1024 * 1024) };
  const { fake, client } = await withFake(t, (_, response) => answer(response, large, { etag: 'W/"1"' }));
  for (const merchant of [1, 2, 3, 3, 1]) await client.getMerchantBalances(merchant);
  assert.deepEqual(fake.requests.map(({ headers }) => headers["if-none-match"]), [undefined, undefined, undefined, 'W/"1"', undefined]);
});

test("pages follow each other to the last one, and the order goes with the first only", async (t) => {
  const page = { complete: true, coverage: { stale: 0, unavailable: 0 }, merchants: [] };
  const { fake, client } = await withFake(t, (_, response, number) => answer(response, number ? page : { ...page, next: "n" }));
  let pages = 0;
  for await (const _ of client.eachBreakdownPage({ sort: "id", limit: 2 })) pages++;
  assert.deepEqual([pages, ...fake.requests.map(({ url }) => url.split("?")[1])], [2, "sort=id&limit=2", "limit=2&after=n"]);
});

test("a Retry-After may be a date", async (t) => {
  const later = new Date(Date.now() + 3_600_000).toUTCString();
  const { client } = await withFake(t, (_, response) => refuse(response, 503, "breaker-open", { "retry-after": later }));
  const { retryAfter } = await client.getPortfolio().catch((error) => error);
  assert.ok(retryAfter > 3000 && retryAfter <= 3600);
});

test("your own signal ends a call with its reason", async (t) => {
  const stop = new AbortController();
  const { client } = await withFake(t, () => stop.abort(new Error("enough")));
  await assert.rejects(client.getPortfolio({ signal: stop.signal }), { message: "enough" });
});

test("your own signal ends a call that is not repeated, and a pause", async (t) => {
  for (const call of ["startReconciliation", "getPortfolio"]) {
    const stop = new AbortController();
    const { client, fake } = await withFake(t, (_, response) => {
      if (call === "getPortfolio") refuse(response, 503, "breaker-open", { "retry-after": "25" }); // a pause that does not pass
      setTimeout(() => stop.abort(new Error("enough")), 20);
    });
    await assert.rejects(client[call]({ signal: stop.signal }), { message: "enough" });
    assert.equal(fake.requests.length, 1);
  }
});

test("an unchanged answer is not sent again, and gets its new age", async (t) => {
  const { client, fake } = await withFake(t, (request, response, number) => {
    if (number === 0) return answer(response, ACCOUNT, { etag: 'W/"1"' });
    response.writeHead(304, { etag: 'W/"1"', age: "9", "cache-status": "tallygate; hit; ttl=-4" });
    response.end();
  });
  const first = await client.getMerchantBalances(1);
  first.value.balances.push("altered by its reader");
  const second = await client.getMerchantBalances(1);
  assert.equal(fake.requests[1].headers["if-none-match"], 'W/"1"');
  assert.deepEqual([second.state, second.ageSeconds, second.staleValue], ["stale", 9, ACCOUNT]);
});

test("a tag does not make the platform ask for a newer answer than the gateway has", async (t) => {
  const { client, fake } = await withFake(t, (_, response) => answer(response, ACCOUNT, { etag: 'W/"1"' }));
  await client.getMerchantBalances(1);
  await client.getMerchantBalances(1);
  assert.deepEqual(fake.requests.map(({ headers }) => headers["cache-control"]), ["no-transform", "no-transform"]);
});

test("a tag is not sent for another caller", async (t) => {
  const keys = ["tg_a", "tg_b"];
  const { client, fake } = await withFake(t, (_, response) => answer(response, ACCOUNT, { etag: 'W/"1"' }), { credential: async () => keys.shift() });
  await client.getMerchantBalances(1);
  await client.getMerchantBalances(1);
  assert.deepEqual(fake.requests.map(({ headers }) => [headers.authorization, headers["if-none-match"]]),
    [["Bearer tg_a", undefined], ["Bearer tg_b", undefined]]);
});

test("what an answer is taken for follows from its headers and its body", async (t) => {
  const rows = { anomalies: [{ kind: "unreadable-asset", rows: 1 }] };
  const coverage = { expected: 2, fresh: 2, stale: 0, unavailable: 0 };
  const batch = { complete: true, coverage, merchants: [] };
  const cases = [
    ["getPortfolio", ACCOUNT, "tallygate; fwd=miss; stored; ttl=5", "fresh"],
    ["getPortfolio", ACCOUNT, "tallygate; hit; ttl=-1; detail=memory", "stale"],
    ["getPortfolio", ACCOUNT, "tallygate; fwd=stale; ttl=2; detail=upstream-timeout", "stale"],
    ["getPortfolio", { ...ACCOUNT, ...rows }, "tallygate; hit; ttl=1", "partial"],
    ["getPortfolio", { ...ACCOUNT, anomalies: [{ kind: "total-mismatch", assetId: "A" }] }, "tallygate; hit; ttl=1", "fresh"],
    ["getBreakdown", batch, "tallygate; hit; detail=version; ttl=1", "fresh"],
    ["getBreakdown", { ...batch, directoryStale: true }, "tallygate; hit; ttl=1", "stale"],
    ["getBreakdown", { ...batch, coverage: { ...coverage, stale: 1 } }, "tallygate; hit; ttl=1", "stale"],
    ["getBreakdown", { ...batch, coverage: { ...coverage, partial: 1 } }, "tallygate; hit; ttl=1", "partial"],
    ["getBreakdown", { ...batch, complete: false, coverage: { ...coverage, unavailable: 1 } }, "tallygate; hit; ttl=1", "partial"],
    ["listMerchants", { merchants: [], directoryStale: true }, "", "stale"],
  ];
  const { client } = await withFake(t, (_, response, number) => answer(response, cases[number][1], { "cache-status": cases[number][2] }));
  for (const [method, , , state] of cases) assert.equal((await client[method]()).state, state);
});

test("what is older than accepted is not returned", async (t) => {
  const { client } = await withFake(t, (_, response) => answer(response, ACCOUNT, { age: "61", "cache-status": "tallygate; fwd=stale; ttl=-56; detail=upstream-timeout" }));
  const stale = await client.getPortfolio();
  assert.equal(stale.covers, "upstream-timeout");
  assert.deepEqual(acceptStale(stale, 61), ACCOUNT);
  assert.throws(() => acceptStale(stale, 60), TooOldError);
  assert.throws(() => acceptPartial(stale, 60), TooOldError);
});

test("what something else answers is an error", async (t) => {
  const { client } = await withFake(t, (_, response, number) => {
    response.writeHead(number === 0 ? 200 : 502, { "content-type": "text/html" });
    response.end("<p>Hello");
  });
  await assert.rejects(client.getPortfolio(), UnexpectedAnswerError);
  await assert.rejects(client.getPortfolio(), { name: "UnexpectedAnswerError", status: 502 });
});

test("an error in the upstream's shape has its code", async (t) => {
  const { client } = await withFake(t, (_, response) => {
    response.writeHead(404, { "content-type": "application/json" });
    response.end(JSON.stringify({ code: -5006, msg: "No such merchant", data: null }));
  });
  const error = await client.getUpstreamBalances(2).catch((error) => error);
  assert.ok(error instanceof EnvelopeError);
  assert.deepEqual([error.code, error.status], [-5006, 404]);
});

test("names are written so that the gateway reads the same", async (t) => {
  const { client, fake } = await withFake(t, (_, response) => answer(response, ACCOUNT));
  await client.getPortfolio({ assets: ["a,b", "50%", "ibc/27"], nonzero: true, maxAge: 3, maxStale: true, minFresh: 1, noCache: true });
  await client.getAssetBalance(9007199254740991, "ibc/27");
  assert.equal(new URL(fake.url + fake.requests[0].url).searchParams.get("assets"), "a%2Cb,50%25,ibc/27");
  assert.equal(fake.requests[0].headers["cache-control"], "max-age=3, max-stale, min-fresh=1, no-cache");
  assert.equal(fake.requests[1].url, "/v1/merchants/9007199254740991/balances/ibc%2F27");
  await assert.rejects(client.getMerchantBalances(2 ** 53), RangeError);
  await assert.rejects(client.getMerchantChanges(2 ** 53), RangeError);
  await assert.rejects(client.getAssetBalance(1, ".."), RangeError);
});
