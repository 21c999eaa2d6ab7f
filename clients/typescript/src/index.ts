/** Tallygate's client. */

export type { Amount } from "./amounts.ts";
export { acceptPartial, acceptStale, type About, type Answer, type FreshAnswer, type PartialAnswer, type StaleAnswer } from "./answers.ts";
export { Tallygate, type TallygateOptions } from "./client.ts";
export type { Clock } from "./clock.ts";
export type { KeySource } from "./http.ts";
export type * from "./live.ts";
export { PROBLEM_KINDS, type ProblemKind } from "./problem_kinds.ts";
export {
  EnvelopeError,
  isProblem,
  kindOf,
  NoAnswerError,
  ProblemError,
  StatusError,
  TallygateError,
  TooOldError,
  UnexpectedAnswerError,
  type FailedPart,
  type Problem,
} from "./problems.ts";
export type * from "./options.ts";
export type * from "./views.ts";
