/** What must not compile: a stale or partial answer taken for a fresh and whole one. `tsc` checks each expectation. */

import { acceptPartial, acceptStale, isProblem, PROBLEM_KINDS, type Amount, type Answer, type ProblemError } from "../src/index.ts";
import type { Account, Batch, Part, WatchEvent, WholeBatch } from "../src/index.ts";

declare const answer: Answer<Account>;
declare const batch: Answer<Batch, WholeBatch>;
declare const part: Part;
declare const event: WatchEvent;

// @ts-expect-error its state was not looked at
answer.value;
if (answer.state === "fresh") answer.value.balances;
// @ts-expect-error it is not fresh
if (answer.state === "stale") answer.value;
// @ts-expect-error it may be partial
acceptStale(answer, 60);
// @ts-expect-error how old it may be is not written
acceptPartial(answer);
if (answer.state !== "partial") acceptStale(answer, 60).balances;
acceptPartial(answer, Infinity).balances;

// @ts-expect-error a part may be missing
acceptPartial(batch, 60).merchants[0]!.balances;
if (batch.state === "fresh") batch.value.merchants[0]!.balances.length;
// @ts-expect-error its status was not looked at
part.balances;
// @ts-expect-error a missing part has no balances
if (part.status === "unavailable") part.balances;
if (part.status === "stale") part.balances.length;
// @ts-expect-error a part of a stream may be missing, too
if (event.type === "balances") event.part.balances;

// @ts-expect-error other text is no amount
const total: Amount = "1000";
// @ts-expect-error an amount is no number
const sum: number = acceptPartial(answer, 60).balances[0]!.total;
// @ts-expect-error there is no such kind
isProblem(new Error(), "unknown-merchants");
declare const error: unknown;
if (isProblem(error, "too-fast")) error satisfies ProblemError<"too-fast">;
PROBLEM_KINDS["too-fast"] satisfies 429;
export { sum, total };
