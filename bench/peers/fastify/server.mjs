// The same afternoon with Fastify, undici and ioredis.
import { createHash } from "node:crypto";
import Fastify from "fastify";
import Redis from "ioredis";
import { Pool } from "undici";

const { PEER_PORT, PEER_UPSTREAM, PEER_TOKEN, PEER_REDIS, PEER_KEY_SHA256 } = process.env;
const redis = new Redis(PEER_REDIS);
const upstream = new Pool(PEER_UPSTREAM);
const app = Fastify();

app.get("/v1/merchants/:merchant/balances", async (request, reply) => {
  const key = (request.headers.authorization ?? "").replace(/^Bearer /, "");
  if (createHash("sha256").update(key).digest("hex") !== PEER_KEY_SHA256) return reply.code(401).send();
  const name = `balances:${request.params.merchant}`;
  let body = await redis.get(name);
  if (body === null) {
    const path = `/v2/assets/account/assets?merchantId=${request.params.merchant}`;
    const answer = await upstream.request({ method: "GET", path, headers: { "X-BH-TOKEN": PEER_TOKEN } });
    const { data } = await answer.body.json();
    body = JSON.stringify({ merchantId: Number(request.params.merchant), ...data });
    await redis.set(name, body, "EX", 5);
  }
  return reply.type("application/json").send(body);
});

await app.listen({ host: "127.0.0.1", port: Number(PEER_PORT) });
