/** Answers: what was read, under a name that says how far it can be trusted. */

import { TooOldError } from "./problems.ts";

/** What every answer says about itself. */
export interface About {
  /** Seconds since the upstream said the oldest part of it, when it was received. Undefined where nothing has an age. */
  readonly ageSeconds: number | undefined;
  /** The tag of the content, without its times. */
  readonly etag: string | undefined;
  readonly requestId: string | undefined;
}

/** All of it is there, and fresh by the gateway's policy. */
export interface FreshAnswer<T> extends About {
  readonly state: "fresh";
  readonly value: T;
}

/** All of it is there, but older than the gateway's policy wants. `covers` names a failure that it stands in for. */
export interface StaleAnswer<T> extends About {
  readonly state: "stale";
  readonly staleValue: T;
  readonly covers: string | undefined;
}

/** Some of it is missing, or may be; the rest may be stale. */
export interface PartialAnswer<T> extends About {
  readonly state: "partial";
  readonly partialValue: T;
  readonly isStale: boolean;
}

/**
 * An answer. Only a fresh and whole one has a `value`.
 *
 * Look at its `state`, or write what else you accept: `acceptStale` or `acceptPartial`.
 */
export type Answer<T, Whole = T> = FreshAnswer<Whole> | StaleAnswer<Whole> | PartialAnswer<T>;

/** An answer that cannot be partial. */
export type WholeAnswer<T> = FreshAnswer<T> | StaleAnswer<T>;

/** Return a whole value that is at most so many seconds old. Raises `TooOldError`. */
export function acceptStale<T>(answer: FreshAnswer<T> | StaleAnswer<T>, maxAgeSeconds: number): T {
  checkAge(answer, maxAgeSeconds);
  return answer.state === "fresh" ? answer.value : answer.staleValue;
}

/** Return a value of which parts may be missing, and that is at most so many seconds old. Raises `TooOldError`. */
export function acceptPartial<T, Whole extends T>(answer: Answer<T, Whole>, maxAgeSeconds: number): T {
  checkAge(answer, maxAgeSeconds);
  return answer.state === "partial" ? answer.partialValue : acceptStale(answer, maxAgeSeconds);
}

function checkAge(answer: About, maxAgeSeconds: number): void {
  if (answer.ageSeconds !== undefined && answer.ageSeconds > maxAgeSeconds) {
    throw new TooOldError(answer.ageSeconds, maxAgeSeconds);
  }
}

/** How whole and how fresh a value is. */
export interface Judgement {
  readonly isWhole: boolean;
  readonly isStale: boolean;
}

/** Wrap a value as judged. */
export function makeAnswer<T, Whole extends T>(value: T, about: About, judged: Judgement, covers?: string): Answer<T, Whole> {
  if (!judged.isWhole) return { state: "partial", partialValue: value, isStale: judged.isStale, ...about };
  if (judged.isStale) return { state: "stale", staleValue: value as Whole, covers, ...about };
  return { state: "fresh", value: value as Whole, ...about };
}
