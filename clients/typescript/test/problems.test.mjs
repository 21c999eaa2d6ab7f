// Each kind of problem, provoked at the real gateway or fed to the client, is a typed error with all its fields.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { acceptStale, isProblem, PROBLEM_KINDS, ProblemError, Tallygate } from "../dist/tallygate.js";
import { openFake, refuse } from "./support/fake_gateway.mjs";
import { openStage } from "./support/stage.mjs";

let stage, gateway;
const as = (key, options = {}) => new Tallygate({ url: stage.url, credential: stage.keys[key] ?? key, deadlineSeconds: 20, ...options });

before(async () => {
  stage = await openStage();
  gateway = as("all");
  const row = { assetId: "BTC", assetName: "BTC", asset: "BTC", total: "3", free: "2", locked: "1" };
  for (const merchant of [777, 778]) await stage.upstream("PUT", `/merchants/${merchant}`, { balances: [row] });
});
after(() => stage.close());

const now = { deadlineSeconds: 0.9 }; // below any Retry-After
const under = (fault) => async () => {
  await stage.upstream("POST", "/faults", { ...fault, merchants: [10001] });
  try {
    return await gateway.getMerchantBalances(10001, { noCache: true, deadlineSeconds: 3 });
  } finally {
    await stage.upstream("DELETE", "/faults");
  }
};
const refusals = {
  "invalid-request": () => gateway.getBalances([]),
  "unauthenticated": () => as("tg_wrong").getPortfolio(),
  "forbidden": () => as("one").getMerchantBalances(777),
  "unknown-merchant": () => gateway.getMerchantBalances(99999),
  "unknown-asset": () => gateway.getAssetBalance(12345, "NOPE"),
  "unknown-reconciliation": () => gateway.getReconciliation("0123456789abcdef"),
  "history-gone": async () => (await gateway.getMerchantBalances(12345), gateway.getMerchantBalancesAt(12345, "2020-01-01T00:00:00Z")),
  "too-many-streams": async () => {
    const [first, second] = [1, 2].map(() => as("one").watch({ merchantIds: [12345] }));
    await first.next();
    const { value } = await second.next();
    await first.return();
    throw value.error;
  },
  "issuer-unavailable": () => as("token", now).getMe(),
  "token-refused": under({ kind: "token-expired" }),
  "access-refused": under({ kind: "address-not-listed" }),
  "merchant-inactive": under({ kind: "code", code: -5043 }),
  "request-refused": under({ kind: "code", code: -4010 }),
  "unknown-code": under({ kind: "code", code: -9999 }),
  "upstream-unreachable": under({ kind: "close" }),
  "view-gone": () => gateway.getBreakdown({ after: "0123456789abcdef01234567-1" }),
  "body-too-large": () => gateway.queryBalances(Array.from({ length: 400_000 }, (_, index) => index + 1)),
  "uri-too-long": () => gateway.getBalances(Array.from({ length: 1000 }, () => 9007199254740991)),
  "headers-too-large": () => as("x".repeat(60_000)).getPortfolio(),
  "no-reconciliation": () => gateway.getLastReconciliation(),
  "no-history": () => gateway.getMerchantBalancesAt(99999, "2026-01-01T00:00:00Z"),
  "not-cached": () => gateway.getMerchantBalances(777, { onlyIfCached: true, maxAge: 0, deadlineSeconds: 1 }),
  "incomplete": () => gateway.getBalances([12345, 99999], { require: "complete" }),
  "too-fast": () => Promise.all(Array.from({ length: 6 }, () => as("slow", { deadlineSeconds: 0.4 }).getPortfolio())),
};
for (const [kind, provoke] of Object.entries(refusals)) {
  test(`the problem ${kind} is a typed error`, async () => {
    const error = await provoke().then(() => undefined, (error) => error);
    assert.ok(isProblem(error, kind), String(error));
    assert.equal(error.status, PROBLEM_KINDS[kind]);
    assert.ok(error.requestId && error.problem.instance && error.problem.detail);
    assert.equal(error.retryAfter, error.problem.retryAfter);
  });
}

/** Each at a merchant of its own: a refresh that began under one fault may still be under way under the next. */
const faults = {
  "upstream-faulty": [777, { kind: "status", status: 500 }],
  "malformed-answer": [10001, { kind: "malformed" }],
};
for (const [kind, [merchant, fault]] of Object.entries(faults)) {
  test(`the upstream's fault ${kind} is a typed error, and what was read before becomes stale`, async (t) => {
    await gateway.getMerchantBalances(merchant);
    await stage.upstream("POST", "/faults", { ...fault, merchants: [merchant] });
    t.after(() => stage.upstream("DELETE", "/faults"));
    await assert.rejects(gateway.getMerchantBalances(merchant, { noCache: true, deadlineSeconds: 10 }), { kind });
    let covered;
    do covered = await gateway.getMerchantBalances(merchant, { maxStale: 600 });
    while (covered.state === "fresh"); // for a second it still is
    assert.equal(covered.state, "stale");
    assert.throws(() => acceptStale(covered, -1), { name: "TooOldError" });
  });
}

/** Those that no call of a client can provoke, or only as a part of an answer. */
const fed = ["internal-error", "unknown-path", "method-not-allowed", "body-too-slow", "bad-signature", "deadline-passed", "not-known-yet", "too-old"];

test("the feed's end is a gap", async () => {
  const { value } = await gateway.changes({ merchantIds: "all", after: `${"0".repeat(8)}.${"A".repeat(60)}` }).next();
  assert.deepEqual(value, { type: "gap", reason: "feed-gone" });
});

test("an upstream that is slow, asks for quiet, or fails again and again is a typed error", async (t) => {
  t.after(() => stage.upstream("DELETE", "/faults"));
  const read = (merchant) => gateway.getMerchantBalances(merchant, { noCache: true, deadlineSeconds: 3 });
  const fault = async (fields) => {
    await stage.upstream("DELETE", "/faults");
    await stage.upstream("POST", "/faults", fields);
  };
  await fault({ kind: "hang" });
  await assert.rejects(read(778), { kind: "upstream-timeout", status: 504 });
  await fault({ kind: "rate-limited", retryAfterSeconds: 4 });
  await assert.rejects(read(778), { kind: "upstream-busy", retryAfter: 4 });
  await assert.rejects(read(777), { kind: "budget-spent", status: 503 });
  await stage.upstream("DELETE", "/faults");
  assert.equal((await gateway.getMerchantBalances(778, { noCache: true })).state, "fresh"); // it waited as it was told
  await fault({ kind: "status", status: 500 });
  const kinds = new Set();
  for (let merchant = 1; merchant < 9; merchant++) await gateway.getMerchantBalances(merchant, now).catch(({ kind }) => kinds.add(kind));
  assert.ok(kinds.has("breaker-open"), [...kinds].join());
});

test("what only Redis keeps is a typed error without it", async () => {
  await stage.command("lose-redis");
  await assert.rejects(gateway.getReconciliation("0123456789abcdef", now), { kind: "store-unavailable", status: 503 });
});

test("no kind is missing here, and each is a typed error when it is fed", async (t) => {
  const elsewhere = ["feed-gone", "upstream-timeout", "upstream-busy", "budget-spent", "breaker-open", "store-unavailable"];
  const undocumented = { "method-not-allowed": 405 }; // no operation has it: a client uses the right method
  const statuses = { ...PROBLEM_KINDS, ...undocumented };
  assert.deepEqual(Object.keys(statuses).sort(), [...stage.kinds].sort());
  assert.deepEqual([...new Set([...Object.keys(refusals), ...Object.keys(faults), ...elsewhere, ...fed])].sort(), [...stage.kinds].sort());
  let kind;
  const fake = await openFake((_, response) => refuse(response, statuses[kind], kind, { "retry-after": "60" }));
  t.after(fake.close);
  for (kind of stage.kinds) {
    const error = await new Tallygate({ url: fake.url }).getMe().catch((error) => error);
    assert.ok(error instanceof ProblemError && isProblem(error, kind), kind);
    assert.deepEqual([error.status, error.retryAfter, error.requestId], [statuses[kind], 60, "r"]);
  }
});
