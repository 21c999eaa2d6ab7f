/** Problems: what the gateway refuses or cannot do, as typed errors (RFC 9457). */

import type { components } from "./schema.ts";
import type { ProblemKind } from "./problem_kinds.ts";

export type Problem = components["schemas"]["Problem"];
export type FailedPart = components["schemas"]["FailedPart"];

/** The root of all errors that this client throws for what it met, but for those of your own signals. */
export class TallygateError extends Error {
  override readonly name: string = "TallygateError";
}

/** An answer that is a refusal or a failure. */
export abstract class StatusError extends TallygateError {
  constructor(
    message: string,
    readonly status: number,
    /** Seconds that it asks to wait, where waiting helps. */
    readonly retryAfter: number | undefined,
  ) {
    super(message);
  }
}

/** The gateway answered with a problem. Its `kind` is one of a closed list, or text that a newer gateway sent. */
export class ProblemError<Kind extends string = ProblemKind | (string & {})> extends StatusError {
  override readonly name = "ProblemError";

  constructor(
    readonly kind: Kind,
    status: number,
    readonly problem: Problem,
    retryAfter: number | undefined,
  ) {
    super(`${problem.title}: ${problem.detail}`, status, retryAfter);
  }

  /** The id of the request, as in the gateway's log. */
  get requestId(): string {
    return this.problem.requestId;
  }

  /** The parts that failed, of a request that wanted all of them. */
  get failed(): readonly FailedPart[] {
    return this.problem.failed ?? [];
  }
}

/** The gateway answered with an error in the upstream's own shape, as it does below `/v2/`. */
export class EnvelopeError extends StatusError {
  override readonly name = "EnvelopeError";

  constructor(
    readonly code: number,
    msg: string,
    status: number,
    retryAfter: number | undefined,
  ) {
    super(msg, status, retryAfter);
  }
}

/** Something answered, but not this gateway: a proxy's page, or half an answer. */
export class UnexpectedAnswerError extends StatusError {
  override readonly name = "UnexpectedAnswerError";
}

/** Nobody answered, or not in time. `cause` is what `fetch` said. */
export class NoAnswerError extends TallygateError {
  override readonly name = "NoAnswerError";
}

/** An answer is older than you accept. */
export class TooOldError extends TallygateError {
  override readonly name = "TooOldError";

  constructor(
    readonly ageSeconds: number,
    readonly acceptedSeconds: number,
  ) {
    super(`The answer is ${ageSeconds} s old, and ${acceptedSeconds} s are accepted.`);
  }
}

/** Say whether an error is a problem of one of these kinds. */
export function isProblem<Kind extends ProblemKind>(
  error: unknown,
  ...kinds: Kind[]
): error is ProblemError<Kind> {
  return error instanceof ProblemError && (kinds as string[]).includes(error.kind);
}

/** Return the kind of a problem by its `type`, `/problems/<kind>`: one of `ProblemKind`, or text that a newer gateway sent. */
export function kindOf(type: string): ProblemKind | (string & {}) {
  return type.slice(type.lastIndexOf("/") + 1);
}

/** Return whether asking again cannot help: the request or its rights are wrong. */
export function isFinal(error: TallygateError): boolean {
  return error instanceof StatusError && error.status < 500 && ![408, 429].includes(error.status);
}
