// A page of its own origin imports the client from the real gateway, and shows live balances in seven tabs.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";

import { Tallygate } from "../dist/tallygate.js";
import { openChromium } from "./support/chromium.mjs";
import { openFake } from "./support/fake_gateway.mjs";
import { openStage } from "./support/stage.mjs";

const page = readFileSync(new URL("../examples/live.html", import.meta.url));
const TABS = 7;

let chromium, stage, site;

before(async () => {
  site = await openFake((_, response) => response.setHeader("content-type", "text/html").end(page));
  [stage, chromium] = await Promise.all([openStage(site.url), openChromium()]);
});
after(async () => {
  await chromium?.close();
  await stage?.close();
  await site.close();
});

const open = (origin = site.url) =>
  chromium.open(`${origin}/#gateway=${encodeURIComponent(stage.url)}&key=${stage.keys.all}&merchants=12345,10001`);
/** Let the merchant have so much, and somebody read it, so that it need not be waited for. */
async function show(total) {
  const row = { assetId: "USDT", assetName: "USDT", asset: "USDT", total: String(total), free: String(total), locked: "0" };
  await stage.upstream("PUT", "/merchants/12345", { balances: [row] });
  await new Tallygate({ url: stage.url, credential: stage.keys.all }).getMerchantBalances(12345, { noCache: true });
}
const shows = (total) => `balances.textContent.includes("12345 fresh USDT ${total}") && state.textContent === "live"`;
async function figure(name) {
  const text = await (await fetch(`${stage.url}/metrics`, { headers: { authorization: `Bearer ${stage.keys.all}` } })).text();
  return [...text.matchAll(new RegExp(`^${name}(?:{.*})? (\\S+)$`, "gm"))].reduce((sum, [, value]) => sum + Number(value), 0);
}

test("seven tabs show what the gateway has over one connection, also after the leader, and the gateway, have gone", async () => {
  await show(1);
  const first = await open();
  await first.until(shows(1));
  const tabs = [first, ...(await Promise.all(Array.from({ length: TABS - 1 }, () => open())))];
  await Promise.all(tabs.map((tab) => tab.until(shows(1))));
  assert.equal(await figure("tallygate_streams"), 1);

  await tabs.shift().close(); // it has the connection, since it was there first
  await show(2);
  await Promise.all(tabs.map((tab) => tab.until(shows(2))));
  assert.equal(await figure("tallygate_streams"), 1);

  await stage.command("kill");
  await Promise.all(tabs.map((tab) => tab.until(`state.textContent === "out of date: failed"`)));
  await stage.command("start");
  await show(3);
  await Promise.all(tabs.map((tab) => tab.until(shows(3))));
});

test("reads of a page come from memory, beside a tag and without one", async () => {
  const tab = await open();
  await tab.until(`state.textContent === "live"`);
  const read = `(async () => {
    const { Tallygate } = await import("${stage.url}/client/tallygate.js");
    const gateway = new Tallygate({ credential: "${stage.keys.all}" });
    const states = [];
    for (let reads = 0; reads < 20; reads++) states.push((await gateway.getMerchantBalances(777)).state);
    window.states = states;
  })()`;
  await stage.upstream("PUT", "/merchants/777", { balances: [] });
  const before = (await stage.upstream("GET", "/counters")).byMerchant?.[777] ?? 0;
  await tab.run(read);
  await tab.until("window.states?.length === 20");
  assert.ok(((await stage.upstream("GET", "/counters")).byMerchant?.[777] ?? 0) - before < 5);
});

test("a page of an origin that the gateway does not know gets nothing", async (t) => {
  const other = await openFake((_, response) => response.setHeader("content-type", "text/html").end(page));
  t.after(other.close);
  const tab = await open(other.url);
  await tab.run(`fetch("${stage.url}/v1/me", { headers: { authorization: "Bearer ${stage.keys.all}" } }).catch(() => (window.refused = true)) && 0`);
  await tab.until("window.refused");
  assert.equal(await tab.until(`state.textContent`), "connecting");
});
