// Watching a gateway that fails as the test says: the newest state arrives, and each gap is said.
import assert from "node:assert/strict";
import { test } from "node:test";

import { ProblemError, Tallygate } from "../dist/tallygate.js";
import { begin, fakeClock, openFake, part, refuse, send } from "./support/fake_gateway.mjs";

const SYNCED = { coverage: { expected: 1, fresh: 1, stale: 0, unavailable: 0 } };

/** Watch merchant 1 until an event is the last one, and return what came: types, and the sequences of parts. */
async function watch(t, handler, isLast, options = {}) {
  const fake = await openFake(handler);
  t.after(fake.close);
  const clock = fakeClock();
  const client = new Tallygate({ url: fake.url, credential: "tg_x", clock });
  const seen = [];
  const stop = new AbortController();
  for await (const event of client.watch({ merchantIds: [1], signal: stop.signal, ...options })) {
    seen.push(event.type === "balances" ? event.part.sequence : event.type === "disconnected" ? event.reason : event.type);
    options.onEvent?.(event, clock);
    if (isLast(event)) stop.abort();
  }
  return { seen, fake, clock };
}

const isPart = (sequence) => (event) => event.type === "balances" && event.part.sequence === sequence;

test("it asks as the gateway understands it", async (t) => {
  const { fake, seen } = await watch(t, (_, response) => begin(response), () => true,
    { merchantIds: "all", portfolio: true, assets: ["a,b"], within: 10 });
  assert.equal(fake.requests[0].url, "/v1/watch?merchantId=all&portfolio=true&assets=a%252Cb&within=10");
  assert.equal(fake.requests[0].headers.accept, "text/event-stream");
  assert.deepEqual(seen, ["connected"]);
});

test("a stream that is cut goes on where it stopped, and the gap is said", async (t) => {
  const { seen, fake, clock } = await watch(t, (_, response, number) => {
    begin(response, number ? "complete" : "new");
    send(response, "balances", part(number + 1), `c${number}`);
    if (number === 0) setImmediate(() => response.destroy());
  }, isPart(2));
  assert.deepEqual(seen, ["connected", 1, "failed", "connected", 2]);
  assert.equal(fake.requests[1].headers["last-event-id"], "c0");
  assert.deepEqual(clock.slept, [250]);
});

test("an event without an id moves no cursor", async (t) => {
  const { fake } = await watch(t, (_, response, number) => {
    begin(response);
    send(response, "balances", part(number + 1), "c0");
    send(response, "synced", SYNCED);
    response.end();
  }, isPart(2));
  assert.equal(fake.requests[1].headers["last-event-id"], "c0");
});

test("half an event is none", async (t) => {
  const { seen } = await watch(t, (_, response, number) => {
    begin(response);
    if (number === 1) return send(response, "balances", part(2), "c");
    response.write(`event: balances\nid: x\ndata: ${JSON.stringify(part(1))}\n`);
    setImmediate(() => response.destroy());
  }, isPart(2));
  assert.deepEqual(seen, ["connected", "failed", "connected", 2]);
});

test("an end is said with its reason, and its retryAfter is waited for", async (t) => {
  const { seen, clock } = await watch(t, (_, response, number) => {
    begin(response);
    if (number === 1) return send(response, "balances", part(1), "c");
    send(response, "end", { reason: "draining", retryAfter: 2 });
    response.end();
  }, isPart(1));
  assert.deepEqual([seen, clock.slept], [["connected", "draining", "connected", 1], [2000]]);
});

test("refusals that pass are waited for as Retry-After says, others with longer and longer pauses", async (t) => {
  const { seen, clock } = await watch(t, (request, response, number) => {
    if (number === 0) return refuse(response, 503, "store-unavailable", { "retry-after": "7" });
    if (number === 1) return refuse(response, 429, "too-many-streams", { "retry-after": "4" });
    if (number < 4) return request.socket.destroy();
    begin(response);
    send(response, "balances", part(1), "c");
  }, isPart(1));
  assert.deepEqual(seen, ["failed", "failed", "failed", "failed", "connected", 1]);
  assert.deepEqual(clock.slept, [7000, 4000, 1000, 2000]);
});

test("a page of a proxy ends no watch, and a success begins the pauses anew", async (t) => {
  const { seen, clock } = await watch(t, (_, response, number) => {
    if (number !== 2 && number !== 3) return response.writeHead(502, { "content-type": "text/html" }).end("<p>Bad");
    begin(response);
    send(response, "balances", part(number), `c${number}`);
    if (number === 2) setImmediate(() => response.destroy());
  }, isPart(3));
  assert.deepEqual(seen, ["failed", "failed", "connected", 2, "failed", "connected", 3]);
  assert.deepEqual(clock.slept, [250, 500, 250]);
});

test("a stream that falls silent is given up after three heartbeats", async (t) => {
  const { seen, fake, clock } = await watch(t, (_, response, number) => {
    begin(response, "new", { heartbeatSeconds: 20 });
    send(response, "balances", part(number + 1), `c${number}`);
  }, isPart(2), { onEvent: (event, clock) => isPart(1)(event) && setImmediate(() => setImmediate(clock.pass)) });
  assert.deepEqual(seen, ["connected", 1, "silent", "connected", 2]);
  assert.equal(fake.requests[1].headers["last-event-id"], "c0");
  assert.ok(clock.now() >= 60_000, `it waited ${clock.now()} ms`);
});

test("a gateway that accepts and says nothing is given up", async (t) => {
  let clock;
  const fake = await openFake((_, response, number) => (number ? begin(response) : setImmediate(() => clock.pass())));
  t.after(fake.close);
  clock = fakeClock();
  const seen = [];
  for await (const event of new Tallygate({ url: fake.url, clock }).watch({ merchantIds: [1] })) {
    seen.push(event.reason ?? event.type);
    if (event.type === "connected") break;
  }
  assert.deepEqual(seen, ["silent", "connected"]);
});

test("what asking again cannot help is raised", async (t) => {
  await assert.rejects(watch(t, (_, response) => refuse(response, 403, "forbidden"), () => false),
    (error) => error instanceof ProblemError && error.kind === "forbidden");
});

test("a stream whose rights have ended is asked for with the key of now", async (t) => {
  const fake = await openFake((_, response, number) => {
    if (number === 1) return refuse(response, 401, "unauthenticated");
    begin(response);
    send(response, "end", { reason: "expired", retryAfter: 1 });
    response.end();
  });
  t.after(fake.close);
  const keys = ["old", "new"];
  const client = new Tallygate({ url: fake.url, credential: () => keys.shift(), clock: fakeClock() });
  await assert.rejects(async () => { for await (const _ of client.watch({ merchantIds: [1] })); }, { kind: "unauthenticated" });
  assert.deepEqual(fake.requests.map(({ headers }) => headers.authorization), ["Bearer old", "Bearer new"]);
});

test("a reader that leaves closes the connection", async (t) => {
  let closed;
  const left = new Promise((resolve) => (closed = resolve));
  const { seen } = await watch(t, (request, response) => {
    response.on("close", closed);
    begin(response);
    send(response, "synced", SYNCED, "c");
  }, (event) => event.type === "synced");
  await left;
  assert.deepEqual(seen, ["connected", "synced"]);
});

test("events that this version does not know are passed over", async (t) => {
  const { seen } = await watch(t, (_, response) => {
    begin(response);
    send(response, "weather", {});
    send(response, "balances", part(1), "c");
  }, isPart(1));
  assert.deepEqual(seen, ["connected", 1]);
});

test("a loop that is left closes the connection, without a signal", async (t) => {
  let closed;
  const left = new Promise((resolve) => (closed = resolve));
  const fake = await openFake((_, response) => {
    response.on("close", closed);
    begin(response);
  });
  t.after(fake.close);
  for await (const _ of new Tallygate({ url: fake.url, clock: fakeClock() }).watch({ merchantIds: [1] })) break;
  await left;
});

test("a signal ends a pause, and pauses that were asked of many come apart", async (t) => {
  const fake = await openFake((_, response, number) => {
    if (number > 0) return refuse(response, 503, "breaker-open", { "retry-after": "25" }); // the clock does not pass it
    begin(response);
    send(response, "end", { reason: "draining", retryAfter: 2 });
  });
  t.after(fake.close);
  const clock = { ...fakeClock(), random: () => 0.5 };
  const stop = new AbortController();
  const pauses = [];
  for await (const event of new Tallygate({ url: fake.url, clock }).watch({ merchantIds: [1], signal: stop.signal })) {
    if (event.type === "disconnected" && pauses.push(event.retryInMs) === 2) setImmediate(() => stop.abort());
  }
  assert.deepEqual(pauses, [2250, 25_250]);
});
