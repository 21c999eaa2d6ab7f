// A page in a real Chromium that imports the built file from its gateway and shows balances, in seven tabs at once.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";

import { openChromium } from "./support/chromium.mjs";
import { begin, openFake, part, refuse, send } from "./support/fake_gateway.mjs";

const file = (path) => readFileSync(new URL(path, import.meta.url));
const page = file("../examples/live.html");
const script = file("../../../app/api/client/tallygate.js");
const TABS = 7;

let chromium, fake, streams, total;
let isAway = false;
const row = () => [{ assetId: "USDT", asset: "USDT", assetName: "USDT", total: String(total), free: "0", locked: "0" }];
const show = (response) => send(response, "balances", { ...part(total), balances: row() }, `c${total}`);
const shows = (amount) => `balances.textContent.includes("1 fresh USDT ${amount}") && state.textContent === "live"`;

/** Show another amount to whoever has a stream. */
function move() {
  total++;
  streams.forEach(show);
}

before(async () => {
  [streams, total] = [new Set(), 1];
  fake = await openFake((request, response) => {
    if (request.url === "/") return response.setHeader("content-type", "text/html").end(page);
    if (request.url === "/client/tallygate.js") return response.setHeader("content-type", "text/javascript").end(script);
    if (!request.url.startsWith("/v1/watch")) return response.writeHead(404).end();
    if (isAway) return refuse(response, 503, "store-unavailable");
    streams.add(response);
    response.on("close", () => streams.delete(response));
    const resumed = request.headers["last-event-id"] ? "complete" : "new";
    begin(response, resumed);
    if (request.headers["last-event-id"] !== `c${total}`) show(response);
    send(response, "synced", { coverage: { expected: 1, fresh: 1, stale: 0, unavailable: 0 } }, `c${total}`);
  });
  chromium = await openChromium();
});
after(async () => {
  await chromium.close();
  await fake.close();
});

test("the page needs no more than twenty lines", () => {
  const [, code] = /<script type="module">\n(.*?)<\/script>/s.exec(page.toString());
  assert.ok(code.trim().split("\n").length <= 20);
});

test("seven tabs show the same over one connection, whichever of them is closed", async () => {
  const address = `${fake.url}/#gateway=${encodeURIComponent(fake.url)}&key=tg_x&merchants=1`;
  const tabs = await Promise.all(Array.from({ length: TABS }, () => chromium.open(address)));
  await Promise.all(tabs.map((tab) => tab.until(shows(1))));
  assert.equal(streams.size, 1);

  move();
  await Promise.all(tabs.map((tab) => tab.until(shows(2))));

  // the tab with the connection is among them: each is closed once, but for the last one
  while (tabs.length > 1) {
    await tabs.shift().close();
    move();
    await Promise.all(tabs.map((tab) => tab.until(shows(total))));
    assert.ok(streams.size <= 1);
  }

  isAway = true;
  streams.forEach((response) => response.destroy());
  await tabs[0].until(`state.textContent === "out of date: failed"`);
  total++;
  isAway = false;
  await tabs[0].until(shows(total));
});

test("tabs with another key have a connection of their own", async () => {
  const open = (key) => chromium.open(`${fake.url}/#gateway=${encodeURIComponent(fake.url)}&key=${key}&merchants=1`);
  const tabs = [await open("tg_a"), await open("tg_b")];
  await Promise.all(tabs.map((tab) => tab.until(shows(total))));
  const keys = [...streams].map(({ req }) => req.headers.authorization);
  assert.ok(keys.includes("Bearer tg_a") && keys.includes("Bearer tg_b"));
});
