/** Requests: credentials, deadlines, repetition as `Retry-After` says, entity tags, problems as errors. */

import { backOff, within, type Clock } from "./clock.ts";
import { EtagCache } from "./etag_cache.ts";
import { EnvelopeError, kindOf, NoAnswerError, ProblemError, StatusError, UnexpectedAnswerError, type Problem } from "./problems.ts";

/** A key or token, or a function that gives the one to use now. */
export type KeySource = string | (() => string | Promise<string>);

/** What a client is made of. */
export interface Settings {
  /** Where the gateway is. */
  readonly url: string;
  readonly credential: KeySource | undefined;
  readonly fetch: typeof globalThis.fetch;
  readonly clock: Clock;
  /** Seconds that a call may take, with all its repetitions. */
  readonly deadlineSeconds: number;
}

/** One call. `repeats` says whether it does no harm to send it twice. */
export interface Call {
  readonly path: string;
  readonly query?: Record<string, string | undefined>;
  readonly headers?: Record<string, string>;
  readonly body?: unknown;
  readonly method?: "GET" | "POST";
  readonly repeats: boolean;
  /** Statuses from 400 on that are no errors here. */
  readonly accepts?: readonly number[];
  readonly signal?: AbortSignal | undefined;
  readonly deadlineSeconds?: number | undefined;
  /** Seconds that the gateway waits for news, on top of the deadline. */
  readonly waitSeconds?: number | undefined;
}

/** An answer with a status below 400, read to its end. */
export interface Received {
  readonly status: number;
  readonly headers: Headers;
  readonly json: unknown;
}

const WAITING_HELPS: ReadonlySet<number> = new Set([408, 429, 502, 503, 504]);

/** Send requests to one gateway. */
export class Http {
  readonly #cache = new EtagCache();

  constructor(readonly settings: Settings) {}

  /**
   * Call, and repeat what waiting helps until the deadline.
   *
   * Raises `StatusError`, `NoAnswerError`, or the reason of your signal.
   */
  async call(call: Call): Promise<Received> {
    const { clock, deadlineSeconds } = this.settings;
    const end = clock.now() + ((call.deadlineSeconds ?? deadlineSeconds) + (call.waitSeconds ?? 0)) * 1000;
    for (let attempt = 0; ; attempt++) {
      try {
        return await within(end - clock.now(), call.signal, clock, (signal) => this.#callOnce(call, signal));
      } catch (error) {
        call.signal?.throwIfAborted();
        const known = asKnown(error);
        const pause = pauseAfter(known, call, attempt, clock);
        if (pause === undefined || clock.now() + pause >= end) throw known;
        await clock.sleep(pause, call.signal);
      }
    }
  }

  /** Send a request and return the response with its body unread. Raises `ProblemError` for a status from 400 on. */
  async open(call: Call, signal: AbortSignal): Promise<Response> {
    const response = await this.#fetch(call, await this.#headers(call), signal);
    if (response.status >= 400) throw asProblem(response, parse(await response.text()));
    return response;
  }

  /** Return the URL of a call. */
  urlOf(call: Call): string {
    const query = new URLSearchParams();
    for (const [name, value] of Object.entries(call.query ?? {})) if (value !== undefined) query.set(name, value);
    const text = query.toString();
    return this.settings.url.replace(/\/+$/, "") + call.path + (text && `?${text}`);
  }

  async #callOnce(call: Call, signal: AbortSignal): Promise<Received> {
    const headers = await this.#headers(call);
    const key = `${headers.get("authorization")} ${this.urlOf(call)}`;
    const isRead = (call.method ?? "GET") === "GET";
    const known = isRead ? this.#cache.get(key) : undefined;
    if (known !== undefined) headers.set("if-none-match", known.etag);
    const response = await this.#fetch(call, headers, signal);
    const text = await response.text();
    if (response.status === 304 && known !== undefined) {
      return { status: 200, headers: response.headers, json: parse(known.text) };
    }
    const json = parse(text);
    if (response.status >= 400 && !(call.accepts?.includes(response.status) && json !== undefined)) {
      this.#cache.delete(key);
      throw asProblem(response, json);
    }
    if (json === undefined) throw new UnexpectedAnswerError("The answer is no JSON.", response.status, undefined);
    const etag = response.headers.get("etag");
    if (isRead && etag !== null) this.#cache.set(key, { etag, text });
    return { status: response.status, headers: response.headers, json };
  }

  #fetch(call: Call, headers: Headers, signal: AbortSignal): Promise<Response> {
    // A browser's own cache would give an answer with the age that it had when it was stored.
    const request: RequestInit = { method: call.method ?? "GET", headers, signal, cache: "no-store", redirect: "error" };
    if (call.body !== undefined) request.body = JSON.stringify(call.body);
    return this.settings.fetch.call(globalThis, this.urlOf(call), request);
  }

  async #headers(call: Call): Promise<Headers> {
    // Beside a tag, or without its own cache, `fetch` adds `no-cache` unless there is a directive. This one changes nothing,
    // and the gateway answers it as fast as none.
    const headers = new Headers({ accept: "application/json", "cache-control": "no-transform", ...call.headers });
    const { credential } = this.settings;
    if (credential !== undefined) {
      headers.set("authorization", `Bearer ${typeof credential === "string" ? credential : await credential()}`);
    }
    if (call.body !== undefined) headers.set("content-type", "application/json");
    return headers;
  }
}

/** Return the error that callers see for what a request threw. */
export function asKnown(error: unknown): StatusError | NoAnswerError {
  if (error instanceof StatusError || error instanceof NoAnswerError) return error;
  const isLate = error instanceof DOMException && error.name === "TimeoutError";
  return new NoAnswerError(isLate ? "There was no answer in time." : "The gateway cannot be reached.", { cause: error });
}

/** Return how many milliseconds to wait before the same call again, undefined if it would not help or might do harm. */
function pauseAfter(error: StatusError | NoAnswerError, call: Call, attempt: number, clock: Clock): number | undefined {
  if (error instanceof NoAnswerError) return call.repeats ? backOff(attempt, clock) : undefined;
  if (!WAITING_HELPS.has(error.status) || error.retryAfter === undefined) return undefined;
  if (!call.repeats && error.status !== 429) return undefined;
  return error.retryAfter * 1000 + clock.random() * 250; // so that those who were refused together come apart
}

function asProblem(response: Response, json: unknown): StatusError {
  const retryAfter = readRetryAfter(response.headers.get("retry-after"));
  if (isProblemBody(json)) return new ProblemError(kindOf(json.type), response.status, json, retryAfter);
  if (isEnvelope(json)) return new EnvelopeError(json.code, json.msg, response.status, retryAfter);
  return new UnexpectedAnswerError(`Something answered ${response.status}.`, response.status, retryAfter);
}

function isEnvelope(json: unknown): json is { code: number; msg: string } {
  return typeof json === "object" && json !== null && "code" in json && typeof json.code === "number" && "msg" in json;
}

function isProblemBody(json: unknown): json is Problem {
  return typeof json === "object" && json !== null && "type" in json && typeof json.type === "string" && "detail" in json;
}

/** Return the seconds of a Retry-After header, which may have a date (RFC 9110, 10.2.3). */
export function readRetryAfter(text: string | null): number | undefined {
  if (text === null) return undefined;
  if (/^\d{1,9}$/.test(text.trim())) return Number(text);
  const date = Date.parse(text);
  return Number.isNaN(date) ? undefined : Math.max(0, (date - Date.now()) / 1000);
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
