// A network between a client and a gateway: it forwards, falls silent without closing anything, or answers 503.
import { once } from "node:events";
import { connect, createServer } from "node:net";

const REFUSAL = "HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/html\r\ncontent-length: 4\r\nconnection: close\r\n\r\nBusy";

/** Forward to a port. `become` changes the state, also of connections that are open. */
export async function openNetwork(port) {
  let state = "forwarding";
  const open = new Set();
  const server = createServer((client) => {
    open.add(client);
    client.on("error", () => undefined).on("close", () => open.delete(client));
    if (state === "refusing") return client.end(REFUSAL);
    const gateway = connect(port, "127.0.0.1");
    for (const [from, to] of [[client, gateway], [gateway, client]]) {
      from.on("data", (bytes) => state === "silent" || to.write(bytes));
      from.on("error", () => to.destroy()).on("close", () => to.destroy());
    }
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    become(next) {
      state = next;
      if (state === "refusing") open.forEach((client) => client.destroy());
    },
    close: () => new Promise((resolve) => (open.forEach((client) => client.destroy()), server.close(resolve))),
  };
}
