// Chromium without a window, spoken to over a pipe: commands and events of its DevTools protocol.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";

const PATIENCE_MS = 30_000;

const ARGUMENTS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
  "--disable-background-networking", "--remote-debugging-pipe", "about:blank"];

/** Start it. `open` opens a tab, and `close` ends everything. */
export async function openChromium() {
  const profile = mkdtempSync(join(tmpdir(), "tallygate-chromium-"));
  const child = spawn("chromium", [`--user-data-dir=${profile}`, ...ARGUMENTS], { stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"] });
  const [writer, reader] = [child.stdio[3], child.stdio[4]];
  const waiting = new Map();
  let number = 0;
  let rest = "";
  reader.setEncoding("utf8").on("data", (chunk) => {
    const messages = (rest + chunk).split("\0");
    rest = messages.pop();
    for (const { id, result, error } of messages.map((text) => JSON.parse(text))) {
      const { resolve, reject } = waiting.get(id) ?? {};
      waiting.delete(id);
      if (error) reject?.(new Error(error.message));
      else resolve?.(result);
    }
  });
  const send = (method, params = {}, sessionId = undefined) => new Promise((resolve, reject) => {
    waiting.set(++number, { resolve, reject });
    writer.write(`${JSON.stringify({ id: number, method, params, ...(sessionId && { sessionId }) })}\0`);
  });
  return {
    /** Open a tab at a URL. */
    async open(url) {
      const { targetId } = await send("Target.createTarget", { url });
      const { sessionId } = await send("Target.attachToTarget", { targetId, flatten: true });
      return {
        /** Wait until an expression in the page is true, and return its value. A page that is still loading has none. */
        async until(expression) {
          for (const end = Date.now() + PATIENCE_MS; ; await pause(20)) {
            const look = { expression, returnByValue: true };
            const { result, exceptionDetails } = await send("Runtime.evaluate", look, sessionId).catch(() => ({}));
            if (result?.value && !exceptionDetails) return result.value;
            if (Date.now() > end) throw new Error(`It never became true: ${expression}`);
          }
        },
        /** Run a script in the page. */
        run: (expression) => send("Runtime.evaluate", { expression }, sessionId),
        close: () => send("Target.closeTarget", { targetId }),
      };
    },
    async close() {
      const ended = once(child, "exit");
      await send("Browser.close").catch(() => undefined);
      await ended;
      rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}
