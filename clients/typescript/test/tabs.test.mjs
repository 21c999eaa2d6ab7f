// Tabs that share a connection, with locks that are granted when the test says, and time that it moves.
import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";

import { build } from "esbuild";

import { fakeClock, part } from "./support/fake_gateway.mjs";

const resolveDir = new URL("../src", import.meta.url).pathname;
const contents = `export * from "./tabs.ts"; export * from "./watch.ts"; export * from "./http.ts";`;
const [{ text }] = (await build({ stdin: { contents, resolveDir }, bundle: true, format: "esm", write: false })).outputFiles;
const { Http, watch, watchTogether } = await import(`data:text/javascript,${encodeURIComponent(text)}`);

/** Locks of which one is held at a time. They are granted when `grant` is called, or stolen right away. */
function fakeLocks() {
  const queue = [];
  let holder;
  const hold = (one) => {
    holder = one;
    one.work().then(one.resolve, one.reject).finally(() => holder === one && (holder = undefined));
  };
  return {
    grant: () => holder === undefined && queue.length > 0 && hold(queue.shift()),
    request: (_, { signal, steal }, work) => new Promise((resolve, reject) => {
      const one = { work, resolve, reject };
      if (steal) {
        holder?.reject(new DOMException("stolen", "AbortError"));
        return hold(one);
      }
      queue.push(one);
      signal.addEventListener("abort", () => queue.includes(one) && (queue.splice(queue.indexOf(one), 1), reject(signal.reason)));
    }),
  };
}

/** A connection of a leader, into which the test puts events. */
function openConnection() {
  const pending = [];
  let wake = () => undefined;
  return {
    cursors: [],
    open: 0,
    put: (event) => (pending.push(event), wake()),
    lead(cursor, signal) {
      this.cursors.push(cursor);
      const connection = this;
      return (async function* () {
        const left = new Promise((resolve) => signal.addEventListener("abort", resolve));
        connection.open++;
        while (!signal.aborted) {
          while (pending.length > 0 && !signal.aborted) yield pending.shift();
          await Promise.race([left, new Promise((resolve) => (wake = resolve))]);
        }
        connection.open--;
      })();
    },
  };
}

const connected = { type: "connected", resumed: "new", heartbeatSeconds: 10 };
const balances = (sequence) => ({ type: "balances", part: part(sequence), cursor: `c${sequence}` });
const synced = { type: "synced", coverage: {}, cursor: "c" };

function stage(t) {
  const name = `tallygate test ${t.name}`;
  const locks = fakeLocks();
  const connection = openConnection();
  const clock = fakeClock();
  const tabs = { locks, channel: (channel) => new BroadcastChannel(channel) };
  const open = () => {
    const stop = new AbortController();
    t.after(() => stop.abort());
    const events = watchTogether(tabs, name, clock, stop.signal, (cursor, signal) => connection.lead(cursor, signal));
    const seen = [];
    const reading = (async () => {
      for await (const event of events) seen.push(event.part?.sequence ?? event.reason ?? event.type);
    })();
    return { seen, stop: () => (stop.abort(), reading) };
  };
  return { open, locks, connection, clock };
}

/** Let messages between tabs arrive. */
async function settle(fits = () => false) {
  for (let turns = 0; turns < 200 && !fits(); turns++) await turn();
}

async function sees(tab, wanted) {
  await settle(() => tab.seen.length >= wanted.length);
  assert.deepEqual(tab.seen, wanted);
}

test("a tab that asked before any tab had the connection sees everything once one has", async (t) => {
  const { open, locks, connection } = stage(t);
  const [first, second] = [open(), open()];
  await settle();
  locks.grant();
  [connected, balances(1), synced].forEach(connection.put);
  await sees(first, ["connected", 1, "synced"]);
  await sees(second, ["connected", 1, "synced"]);
  connection.put(balances(2));
  await sees(second, ["connected", 1, "synced", 2]);
});

test("a tab that comes later is shown the newest of each merchant", async (t) => {
  const { open, locks, connection } = stage(t);
  const first = open();
  locks.grant();
  [connected, balances(1), synced, balances(2)].forEach(connection.put);
  await sees(first, ["connected", 1, "synced", 2]);
  await sees(open(), ["connected", 2, "synced"]);
});

test("the next tab goes on from the last cursor when the first one closes", async (t) => {
  const { open, locks, connection } = stage(t);
  const first = open();
  locks.grant();
  const second = open();
  [connected, balances(1), synced].forEach(connection.put);
  await sees(second, ["connected", 1, "synced"]);
  await first.stop();
  await settle();
  locks.grant();
  await settle();
  assert.deepEqual(connection.cursors, [undefined, "c"]);
  connection.put(balances(2));
  await sees(second, ["connected", 1, "synced", 2]);
});

test("a tab that sends nothing for long loses the connection, and the gap is said", async (t) => {
  const { open, locks, connection, clock } = stage(t);
  const first = open();
  locks.grant();
  const second = open();
  [connected, balances(1), synced].forEach(connection.put);
  await sees(second, ["connected", 1, "synced"]);
  await settle();
  clock.pass(); // of the leader, which does not care
  clock.pass();
  await sees(second, ["connected", 1, "synced", "silent"]);
  await settle();
  assert.deepEqual(connection.cursors, [undefined, "c"]);
  [connected, balances(2), synced].forEach(connection.put);
  await sees(second, ["connected", 1, "synced", "silent", "connected", 2, "synced"]);
  assert.equal(first.seen.at(-1), "synced");
  assert.equal(connection.open, 1);
  connection.put(balances(3));
  await settle(() => first.seen.at(-1) === 3);
  assert.deepEqual([first, second].map(({ seen }) => seen.at(-1)), [3, 3]); // the first one follows now
});

test("what asking again cannot help is raised by the tab that asked, and the next one asks for itself", async (t) => {
  const { locks } = stage(t);
  const tabs = { locks, channel: (channel) => new BroadcastChannel(channel) };
  let asked = 0;
  const lead = async function* () {
    throw new Error(`refused ${++asked}`);
  };
  const open = () => watchTogether(tabs, t.name, fakeClock(), undefined, lead).next().catch((error) => error.message);
  const both = [open(), open()];
  await settle();
  locks.grant();
  await settle();
  locks.grant();
  assert.deepEqual(await Promise.all(both), ["refused 1", "refused 2"]);
});

test("tabs share a connection only for the same question of the same owner, and no name shows a key", async () => {
  const askFor = async (credential, options) => {
    const asked = [];
    const locks = { request: async (name) => void asked.push(name) };
    const channel = () => ({ postMessage: () => undefined, close: () => undefined });
    const fetch = async () => (asked.push("alone"), new Response("{}", { status: 403 }));
    const stop = new AbortController();
    const http = new Http({ url: "http://x", credential, fetch, clock: fakeClock(), deadlineSeconds: 1 });
    const next = watch(http, { merchantIds: [1], signal: stop.signal, ...options }, { locks, channel }).next().catch(() => undefined);
    await settle(() => asked.length > 0);
    stop.abort();
    await next;
    return asked[0];
  };
  const own = () => "tg_a";
  const asked = [["tg_a"], ["tg_a"], ["tg_b"], ["tg_a", { merchantIds: [2] }], ["tg_a", { within: 60 }], [own, { share: "me" }]];
  const [first, same, ...others] = await Promise.all(asked.map((one) => askFor(...one)));
  assert.equal(first, same);
  assert.equal(new Set([first, ...others]).size, asked.length - 1);
  assert.ok([first, ...others].every((name) => name.startsWith("tallygate ") && !name.includes("tg_")));
  for (const options of [{ share: false }, { after: "c1" }]) assert.equal(await askFor("tg_a", options), "alone");
  assert.equal(await askFor(own), "alone");
});
