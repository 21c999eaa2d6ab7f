// The simulated upstream and the gateway, in processes of their own that end with this one.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";

const repository = new URL("../../../..", import.meta.url).pathname;

/** Start them, and return where they are and how to command them. Pages of the origin may read the gateway's answers. */
export async function openStage(origin = "") {
  const child = spawn(`${repository}.venv/bin/python`, ["-m", "tests.support.client_stage", origin], {
    cwd: repository,
    env: { ...process.env, PYTHONPATH: repository },
    stdio: ["pipe", "pipe", "inherit"],
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const { value: first } = await lines.next();
  if (first === undefined) throw new Error("The stage did not start.");
  const { url, control, keys, kinds } = JSON.parse(first);
  return {
    url,
    keys,
    kinds,
    /** Kill, drain or start the gateway, or lose its Redis, and wait until that is done. */
    async command(word) {
      child.stdin.write(`${word}\n`);
      await lines.next();
    },
    /** Ask the control port of the simulated upstream. */
    async upstream(method, path, body) {
      const response = await fetch(control + path, { method, ...(body && { body: JSON.stringify(body) }) });
      if (!response.ok) throw new Error(await response.text());
      return response.json();
    },
    async close() {
      const ended = once(child, "exit");
      child.stdin.end();
      await ended;
    },
  };
}
