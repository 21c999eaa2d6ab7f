// A watch of the real gateway through a kill, a 503, a dead network and a drain: the newest state follows each gap.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";

import { acceptPartial, Tallygate } from "../dist/tallygate.js";
import { openNetwork } from "./support/network.mjs";
import { openStage } from "./support/stage.mjs";

const PATIENCE_MS = 30_000;

let stage, network, direct;

before(async () => {
  stage = await openStage();
  network = await openNetwork(Number(new URL(stage.url).port));
  direct = new Tallygate({ url: stage.url, credential: stage.keys.all, deadlineSeconds: 20 });
});
after(async () => {
  await network.close();
  await stage.close();
});

/** The clock of now, on which a wait for silence ends when the test says so. */
function hasty() {
  const silences = new Set();
  return {
    now: () => performance.now(),
    random: Math.random,
    endSilences: () => silences.forEach((end) => end()),
    async sleep(milliseconds, signal) {
      if (milliseconds < 20_000) return pause(milliseconds, undefined, { signal });
      return new Promise((resolve, reject) => {
        silences.add(resolve);
        const end = () => (silences.delete(resolve), reject(signal.reason));
        signal?.addEventListener("abort", end, { once: true });
      });
    },
  };
}

/** A program that watches: what it shows, whether that is live, and the gaps so far. */
function openWatcher(clock) {
  const stop = new AbortController();
  const seen = { shown: undefined, isLive: false, gaps: [] };
  const events = new Tallygate({ url: network.url, credential: stage.keys.all, clock }).watch({ merchantIds: [12345], within: 5, signal: stop.signal });
  const done = (async () => {
    for await (const event of events) {
      if (event.type === "connected" && event.resumed !== "complete") seen.shown = undefined;
      if (event.type === "balances") seen.shown = event.part.balances;
      if (event.type === "synced") seen.isLive = true;
      if (event.type !== "disconnected") continue;
      seen.isLive = false;
      seen.gaps.push(`${event.reason} ${event.error?.status ?? ""}`.trim());
    }
  })();
  return { seen, close: () => (stop.abort(), done) };
}

async function until(fits, what) {
  for (const end = Date.now() + PATIENCE_MS; !(await fits()); await pause(50)) {
    if (Date.now() > end) throw new Error(`It never came: ${what}`);
  }
}

test("the last state is the newest, and each gap is said", async () => {
  const clock = hasty();
  const { seen, close } = openWatcher(clock);
  const gap = async (reason) => {
    await until(() => seen.gaps.includes(reason), reason);
    assert.equal(seen.isLive, false);
    await stage.upstream("POST", "/merchants/12345/move");
    seen.gaps.length = 0;
  };
  const newest = () => until(async () => {
    const { balances } = acceptPartial(await direct.getMerchantBalances(12345, { noCache: true }), Infinity);
    return seen.isLive && isDeepStrictEqual(seen.shown, balances);
  }, "the newest state");

  await newest();
  await stage.command("kill");
  await gap("failed");
  await stage.command("start");
  await newest();

  network.become("refusing");
  await gap("failed 503");
  network.become("forwarding");
  await newest();

  network.become("silent");
  clock.endSilences();
  await gap("silent");
  network.become("forwarding");
  clock.endSilences(); // an attempt that was made meanwhile hears nothing either
  await newest();

  await stage.command("drain");
  await gap("draining");
  await stage.command("start");
  await newest();
  await close();
});
