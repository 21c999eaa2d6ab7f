// What a slow reader of a shared stream gets: the newest of each merchant, and nothing that hides a reset.
import assert from "node:assert/strict";
import { test } from "node:test";

import { build } from "esbuild";

import { part } from "./support/fake_gateway.mjs";

const source = new URL("../src/mailbox.ts", import.meta.url).pathname;
const [{ text }] = (await build({ entryPoints: [source], bundle: true, format: "esm", write: false })).outputFiles;
const { Mailbox } = await import(`data:text/javascript,${encodeURIComponent(text)}`);

const connected = (resumed) => ({ type: "connected", resumed });
const balances = (sequence, merchantId = 1, more = {}) => ({ type: "balances", part: { ...part(sequence, merchantId), ...more } });

async function takeAll(events) {
  const mailbox = new Mailbox(new AbortController().signal);
  events.forEach((event) => mailbox.put(event));
  const taken = [];
  for (let left = new Set(events.map(({ type, part }) => `${type} ${part?.merchantId}`)).size; left > 0; left--) taken.push(await mailbox.take());
  return taken;
}

test("of each merchant there is the newest part, and how many it replaced", async () => {
  const taken = await takeAll([balances(1), balances(1, 2), balances(2), balances(3, 1, { skipped: 2 })]);
  assert.deepEqual(taken.map(({ part }) => [part.merchantId, part.sequence, part.skipped]), [[2, 1, undefined], [1, 3, 4]]);
});

test("a stream that goes on does not hide that an earlier one began from nothing", async () => {
  for (const resumed of ["new", "reset"]) {
    assert.deepEqual(await takeAll([connected(resumed), connected("complete")]), [connected(resumed)]);
  }
  assert.deepEqual(await takeAll([connected("complete"), connected("reset")]), [connected("reset")]);
});

test("a reader that has left takes nothing more", async () => {
  const left = new AbortController();
  const mailbox = new Mailbox(left.signal);
  const taking = mailbox.take();
  left.abort();
  assert.equal(await taking, undefined);
});
