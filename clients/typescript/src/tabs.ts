/** Tabs: one of them has the connection, by a lock, and passes on to the others what it receives. */

import type { Clock } from "./clock.ts";
import type { WatchEvent } from "./live.ts";
import { Mailbox } from "./mailbox.ts";
import { NoAnswerError } from "./problems.ts";
import { Shown } from "./shown.ts";

/** What a browser has for its tabs to find each other. */
export interface Tabs {
  readonly locks: Pick<LockManager, "request">;
  channel(name: string): BroadcastChannel;
}

type Lead = (cursor: string | undefined, signal: AbortSignal) => AsyncIterable<WatchEvent>;

/** What tabs send each other: that one leads now, events for all, a question for what is known, and the answer for one. */
type Message = { leads: true } | { event: WatchEvent } | { ask: string } | { to: string; events: WatchEvent[] };

/** A tab that leads sends nothing for longer only if it is frozen: a pause and an attempt take up to 60 s. */
const SILENCE_MS = 75_000;
const SPREAD_MS = 10_000;

/** Return what this browser has, undefined where there are no tabs or no locks. */
export function browserTabs(): Tabs | undefined {
  if (typeof document === "undefined" || navigator.locks === undefined) return undefined;
  return { locks: navigator.locks, channel: (name) => new BroadcastChannel(name) };
}

/** Return the name that tabs share which watch the same for the same owner. It does not show the owner's key. */
export async function nameOf(url: string, owner: string): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(`${url}\n${owner}`));
  return `tallygate ${Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

/** Watch with the other tabs of this name, until the signal. Raises what `lead` raises, if this tab leads. */
export async function* watchTogether(
  tabs: Tabs,
  name: string,
  clock: Clock,
  signal: AbortSignal | undefined,
  lead: Lead,
): AsyncGenerator<WatchEvent, void> {
  const member = new Member(tabs, name, clock, lead);
  const stop = (): void => member.leave();
  signal?.addEventListener("abort", stop, { once: true });
  if (signal?.aborted) stop();
  try {
    yield* member.events();
  } finally {
    signal?.removeEventListener("abort", stop);
    member.leave();
  }
}

/** One tab: it follows until it gets the lock, and then leads. */
class Member {
  readonly #id = crypto.randomUUID();
  readonly #left = new AbortController();
  readonly #mailbox = new Mailbox(this.#left.signal);
  readonly #shown = new Shown();
  readonly #channel: BroadcastChannel;
  #leading = false;
  #joined = false;
  #heardAt = 0;
  #failure: unknown;

  constructor(
    readonly tabs: Tabs,
    readonly name: string,
    readonly clock: Clock,
    readonly lead: Lead,
  ) {
    this.#channel = tabs.channel(name);
    this.#channel.onmessage = ({ data }) => this.#receive(data as Message);
  }

  leave(): void {
    this.#left.abort();
    this.#channel.close();
  }

  async *events(): AsyncGenerator<WatchEvent, void> {
    this.#ask();
    void this.#queue(false);
    void this.#listenForSilence();
    for (;;) {
      const event = await this.#mailbox.take();
      if (event === undefined) break;
      yield event;
    }
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Wait for the lock and lead. Whoever loses it to a tab that heard nothing for long follows again. */
  async #queue(steal: boolean): Promise<void> {
    const options: LockOptions = steal ? { steal } : { signal: this.#left.signal };
    const term = new AbortController();
    try {
      await this.tabs.locks.request(this.name, options, () => this.#leadUntil(term.signal));
    } catch {
      if (this.#left.signal.aborted) return;
      term.abort();
      this.#ask();
      await this.#queue(false);
    }
  }

  async #leadUntil(lost: AbortSignal): Promise<void> {
    if (this.#left.signal.aborted) return;
    const own = new AbortController();
    for (const signal of [lost, this.#left.signal]) signal.addEventListener("abort", () => own.abort(), { once: true });
    this.#leading = this.#joined = true;
    this.#send({ leads: true }); // for those who asked when nobody did
    try {
      for await (const event of this.lead(this.#shown.cursor, own.signal)) {
        if (own.signal.aborted) return;
        this.#send({ event });
        this.#accept(event);
      }
    } catch (error) {
      this.#failure = error;
      this.#left.abort();
    } finally {
      this.#leading = false;
    }
  }

  #receive(message: Message): void {
    if ("ask" in message) {
      if (this.#leading) this.#send({ to: message.ask, events: this.#shown.events() });
      return;
    }
    this.#heardAt = this.clock.now();
    if ("leads" in message) {
      if (!this.#joined) this.#ask();
    } else if ("to" in message) {
      if (message.to !== this.#id || this.#joined) return;
      this.#joined = true;
      message.events.forEach((event) => this.#accept(event));
    } else if (this.#joined && !this.#leading) {
      this.#accept(message.event);
    }
  }

  #accept(event: WatchEvent): void {
    this.#shown.add(event);
    this.#mailbox.put(event);
  }

  #ask(): void {
    this.#joined = false;
    this.#send({ ask: this.#id });
  }

  #send(message: Message): void {
    if (!this.#left.signal.aborted) this.#channel.postMessage(plain(message));
  }

  /** Take the lock from a tab that sends nothing: browsers may freeze one that nobody sees. */
  async #listenForSilence(): Promise<void> {
    this.#heardAt = this.clock.now();
    for (;;) {
      try {
        await this.clock.sleep(SILENCE_MS + this.clock.random() * SPREAD_MS, this.#left.signal);
      } catch {
        return;
      }
      if (this.#leading || this.clock.now() - this.#heardAt < SILENCE_MS) continue;
      this.#mailbox.put({ type: "disconnected", reason: "silent", error: undefined, retryInMs: 0 });
      void this.#queue(true);
    }
  }
}

/** Make a message that a channel can carry: of an error, what it says. */
function plain(message: Message): Message {
  if (!("event" in message) || message.event.type !== "disconnected" || message.event.error === undefined) return message;
  return { event: { ...message.event, error: new NoAnswerError(message.event.error.message) } };
}
