// A gateway that answers what a test says, and a clock that stands until a test moves it.
import { createServer } from "node:http";
import { once } from "node:events";

/** Serve with a handler of requests, which gets their number from 0. */
export async function openFake(handler) {
  const requests = [];
  const server = createServer((request, response) => {
    requests.push(request);
    handler(request, response, requests.length - 1);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    requests,
    close: () => new Promise((resolve) => (server.closeAllConnections(), server.close(resolve))),
  };
}

/** Answer with a problem. */
export function refuse(response, status, kind, headers = {}) {
  response.writeHead(status, { "content-type": "application/problem+json", ...headers });
  const problem = { type: `/problems/${kind}`, title: kind, status, detail: kind, instance: "/", requestId: "r" };
  response.end(JSON.stringify(problem));
}

/** Begin a stream of events. */
export function begin(response, resumed = "new", more = {}) {
  response.writeHead(200, { "content-type": "text/event-stream" });
  send(response, "hello", { resumed, within: { wanted: 10, expected: 10 }, merchants: 1, heartbeatSeconds: 10, endsAt: "", ...more });
}

/** Send an event. */
export function send(response, event, data, id) {
  response.write(`event: ${event}\n${id ? `id: ${id}\n` : ""}data: ${JSON.stringify(data)}\n\n`);
}

/** A part of merchant 1 with a sequence. */
export const part = (sequence, merchantId = 1) => ({
  merchantId, status: "fresh", canDeposit: true, asOf: "2026-11-23T10:00:00.123Z", balances: [], sequence,
});

/** A clock whose sleeps shorter than `limitMs` end right away and are noted; longer ones end when `pass` is called. */
export function fakeClock(limitMs = 20_000) {
  let now = 0;
  const slept = [];
  const longer = new Map();
  return {
    slept,
    now: () => now,
    random: () => 0,
    /** Let the shortest of the longer sleeps end. */
    pass() {
      const [wake, end] = [...longer].sort(([, one], [, other]) => one - other)[0];
      longer.delete(wake);
      now = end;
      wake();
    },
    sleep(milliseconds, signal) {
      if (signal?.aborted) return Promise.reject(signal.reason);
      if (milliseconds < limitMs) {
        slept.push(milliseconds);
        now += milliseconds;
        return Promise.resolve();
      }
      return new Promise((resolve, reject) => {
        longer.set(resolve, now + milliseconds);
        signal?.addEventListener("abort", () => (longer.delete(resolve), reject(signal.reason)), { once: true });
      });
    },
  };
}
