// Following the feed of a gateway that answers as the test says.
import assert from "node:assert/strict";
import { test } from "node:test";

import { Tallygate } from "../dist/tallygate.js";
import { fakeClock, openFake, refuse } from "./support/fake_gateway.mjs";

const page = (sequences, next, complete = true) => ({
  epoch: "e", keptFrom: "", complete, next, changes: sequences.map((sequence) => ({ merchantId: 1, epoch: "e", sequence, rows: [] })),
});

async function follow(t, answers, count, options = {}) {
  const fake = await openFake((_, response, number) => {
    const answer = answers[number];
    if (typeof answer === "function") return answer(response);
    response.writeHead(200, { "content-type": "application/json" });
    response.end(JSON.stringify(answer));
  });
  t.after(fake.close);
  const clock = fakeClock();
  const seen = [];
  for await (const event of new Tallygate({ url: fake.url, clock }).changes({ merchantIds: "all", ...options })) {
    seen.push(event.type === "changes" ? event.changes.map(({ sequence }) => sequence) : (event.reason ?? event.error.kind ?? event.type));
    if (seen.length === count) break;
  }
  const asked = fake.requests.map(({ url }) => new URL(fake.url + url).searchParams.get("after"));
  return { seen, asked, clock, fake };
}

test("it goes on from cursor to cursor, and pages without news are not shown", async (t) => {
  const { seen, asked, fake } = await follow(t, [page([1, 2], "a"), page([], "b"), page([3], "c")], 2);
  assert.deepEqual([seen, asked], [[[1, 2], [3]], [null, "a", "b"]]);
  assert.deepEqual(fake.requests.map(({ headers }) => headers.prefer), ["wait=20", "wait=20", "wait=20"]);
});

test("what is not kept any more is said before what follows", async (t) => {
  const { seen, asked } = await follow(t, [page([9], "b", false)], 2, { after: "a" });
  assert.deepEqual([seen, asked], [["not-kept", [9]], ["a"]]);
});

test("a cursor of an epoch that has ended is said, and the feed begins again", async (t) => {
  const { seen, asked } = await follow(t, [(response) => refuse(response, 410, "feed-gone"), page([0], "b")], 2, { after: "a" });
  assert.deepEqual([seen, asked], [["feed-gone", [0]], ["a", null]]);
});

test("a gateway that is away is said and asked again, without losing the place", async (t) => {
  const answers = [page([1], "a"), (response) => response.destroy(), (response) => refuse(response, 503, "store-unavailable"), page([2], "b")];
  const { seen, asked, clock } = await follow(t, answers, 4);
  assert.deepEqual([seen, asked], [[[1], "disconnected", "store-unavailable", [2]], [null, "a", "a", "a"]]);
  assert.deepEqual(clock.slept, [250, 500]);
});

test("what asking again cannot help is raised", async (t) => {
  await assert.rejects(follow(t, [(response) => refuse(response, 404, "no-history")], 1), { kind: "no-history" });
});

test("a failure after a page begins the pauses again, and Retry-After is waited for", async (t) => {
  const away = (response) => response.destroy();
  const busy = (response) => refuse(response, 503, "store-unavailable", { "retry-after": "3" });
  const { clock } = await follow(t, [away, away, page([1], "a"), away, busy, page([2], "b")], 6);
  assert.deepEqual(clock.slept, [250, 500, 250, 3000]);
});

test("your own signal ends the feed, and is no failure of it", async (t) => {
  const stop = new AbortController();
  const { seen } = await follow(t, [page([1], "a"), () => stop.abort()], 3, { signal: stop.signal });
  assert.deepEqual(seen, [[1]]);
});
