// Every operation against the real gateway, and what outlives it.
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { execFile } from "node:child_process";
import { after, before, test } from "node:test";
import { promisify } from "node:util";

import { acceptPartial, NoAnswerError, Tallygate } from "../dist/tallygate.js";
import { openStage } from "./support/stage.mjs";

let stage, gateway;
const as = (key, options = {}) => new Tallygate({ url: stage.url, credential: stage.keys[key] ?? key, deadlineSeconds: 20, ...options });
const value = (answer) => acceptPartial(answer, Infinity);

before(async () => {
  stage = await openStage();
  gateway = as("all");
  const row = { assetId: "BTC", assetName: "BTC", asset: "BTC", total: "3", free: "2", locked: "1" };
  await stage.upstream("PUT", "/merchants/777", { balances: [row] });
});
after(() => stage.close());

test("each view is read, fresh and exact", async () => {
  const account = await gateway.getMerchantBalances(12345, { noCache: true });
  assert.equal(account.state, "fresh");
  assert.equal(account.value.balances.find(({ assetId }) => assetId === "USDT").total, "1000");
  assert.ok(account.ageSeconds <= 1 && account.etag && account.requestId);
  assert.equal(value(await gateway.getAssetBalance(12345, "USDT")).free, "800");
  assert.equal(value(await gateway.getPortfolio({ assets: ["USDT"] })).balances.length, 1);
  assert.equal(value(await gateway.getUpstreamBalances(12345)).balances.length, account.value.balances.length);
  for (const method of ["getBalances", "queryBalances"]) {
    const batch = await gateway[method]([12345, 99999], { noCache: true });
    assert.equal(batch.state, "partial");
    assert.deepEqual(batch.partialValue.merchants.map(({ status }) => status), ["fresh", "unavailable"]);
  }
  const me = await gateway.getMe();
  assert.deepEqual([me.source, me.merchants, me.portfolio], ["key", "all", true]);
  await assert.rejects(gateway.reportMoves([12345]), { kind: "forbidden" });
  const past = await gateway.getBreakdownAt(new Date().toISOString());
  assert.ok(past.merchants.some(({ certainty }) => certainty !== "unavailable"));
  assert.deepEqual(await gateway.getLiveness(), { status: "alive" });
  assert.equal((await gateway.getReadiness()).status, "ready");
});

test("pages follow each other to the end", async () => {
  const walk = async (pages, items) => {
    const found = [];
    for await (const page of pages) found.push(...value(page)[items].map(({ merchantId }) => merchantId));
    return found;
  };
  const all = await walk(gateway.eachMerchantsPage(), "merchants");
  assert.ok(all.length > 2);
  assert.deepEqual(await walk(gateway.eachMerchantsPage({ limit: 1 }), "merchants"), all);
  assert.deepEqual(await walk(gateway.eachBreakdownPage({ limit: 1, sort: "id" }), "merchants"), all);
  const holders = await walk(gateway.eachHoldersPage("USDT", { limit: 1 }), "holders");
  assert.deepEqual(holders, await walk(gateway.eachHoldersPage("USDT"), "holders"));
});

test("a reconciliation is started, and read by its id and as the last one", async () => {
  let found = await gateway.startReconciliation();
  while (found.state === "running") found = await gateway.getReconciliation(found.id);
  assert.deepEqual((await gateway.getLastReconciliation()).id, found.id);
});

test("an unchanged answer is not sent again, and a changed one is", async () => {
  const statuses = [];
  const fetch = async (...words) => {
    const response = await globalThis.fetch(...words);
    statuses.push(response.status);
    return response;
  };
  const own = as("all", { fetch });
  const read = async () => JSON.stringify(value(await own.getMerchantBalances(777, { noCache: true })).balances);
  const [first, second] = [await read(), await read()];
  await stage.upstream("POST", "/merchants/777/move");
  const third = await read();
  assert.deepEqual([statuses, first === second, first === third], [[200, 304, 200], true, false]);
});

test("too many requests at a time are all answered, as Retry-After says", async () => {
  const own = as("slow");
  const answers = await Promise.all(Array.from({ length: 5 }, () => own.getPortfolio()));
  assert.equal(answers.length, 5);
});

test("a gateway that is killed and comes back answers the call that was under way", async () => {
  await stage.command("kill");
  await assert.rejects(as("all", { deadlineSeconds: 0.2 }).getPortfolio(), NoAnswerError);
  const waiting = gateway.getPortfolio();
  await stage.command("start");
  assert.ok(value(await waiting).balances.length > 0);
});

test("a gateway that drains and comes back answers the call that was under way", async () => {
  await stage.command("drain");
  const waiting = gateway.getPortfolio();
  await stage.command("start");
  assert.ok(value(await waiting).balances.length > 0);
});

test("each example of the README runs", async (t) => {
  const folder = process.env.EXAMPLES;
  for (const name of readdirSync(folder).filter((one) => one.endsWith(".mjs"))) {
    await t.test(name, async () => {
      const env = { ...process.env, GATEWAY_URL: stage.url, GATEWAY_KEY: stage.keys.all };
      const { stdout, stderr } = await promisify(execFile)(process.execPath, [`${folder}/${name}`], { env, timeout: 30_000 });
      assert.deepEqual([stderr, stdout.length > 0], ["", true]);
    });
  }
});

/** Read events until one fits, and return those before it with it. */
async function until(events, fits) {
  const seen = [];
  for (;;) {
    const { value, done } = await events.next();
    assert.ok(!done, "the watch has ended");
    seen.push(value);
    if (fits(value)) return seen;
  }
}

test("what may not be watched is raised", async () => {
  await assert.rejects(as("one").watch({ merchantIds: [777] }).next(), { kind: "forbidden" });
});

test("changes are followed from the first look on, and from a cursor", async () => {
  await gateway.getMerchantBalances(777, { noCache: true });
  await stage.upstream("POST", "/merchants/777/move");
  await gateway.getMerchantBalances(777, { noCache: true });
  const past = await gateway.getMerchantBalancesAt(777, new Date().toISOString());
  assert.equal(past.certainty, "between");
  const newest = (await gateway.getMerchantChanges(777)).changes.at(-1);
  const events = gateway.changes({ merchantIds: [777], limit: 1 });
  const seen = await until(events, (event) => event.changes?.some(({ sequence }) => sequence === newest.sequence));
  await stage.upstream("POST", "/merchants/777/move");
  await gateway.getMerchantBalances(777, { noCache: true });
  const { value: next } = await gateway.changes({ merchantIds: "all", after: seen.at(-1).cursor }).next();
  assert.ok(next.changes.some(({ merchantId, sequence }) => merchantId === 777 && sequence > newest.sequence));
  await assert.rejects(as("one").changes({ merchantIds: [777] }).next(), { kind: "forbidden" });
});
