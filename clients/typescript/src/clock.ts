/** Time and chance, as arguments: tests give others. */

/** Where the client takes time and chance from. Times are in milliseconds; `random` is from 0 up to 1. */
export interface Clock {
  now(): number;
  random(): number;
  /** Wait. Rejects with the signal's reason as soon as it is aborted. */
  sleep(milliseconds: number, signal?: AbortSignal): Promise<void>;
}

export const systemClock: Clock = {
  now: () => performance.now(),
  random: Math.random,
  sleep: (milliseconds, signal) =>
    new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const stop = (): void => {
        clearTimeout(timer);
        reject(signal?.reason);
      };
      const timer = setTimeout(() => {
        signal?.removeEventListener("abort", stop);
        resolve();
      }, milliseconds);
      signal?.addEventListener("abort", stop, { once: true });
    }),
};

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 30_000;

/** Draw a pause before attempt `attempt` (from 0) after failures: it doubles up to 30 s, and half of it is chance. */
export function backOff(attempt: number, clock: Clock): number {
  const longest = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(attempt, 16));
  return longest * (0.5 + clock.random() / 2);
}

/**
 * Do work that a signal and a time limit end. Rejects with the signal's reason, or with a `TimeoutError`.
 *
 * The limit is taken away as soon as the work has ended.
 */
export async function within<T>(
  milliseconds: number,
  signal: AbortSignal | undefined,
  clock: Clock,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  signal?.throwIfAborted();
  const limit = new AbortController();
  const stop = (): void => limit.abort(signal?.reason);
  signal?.addEventListener("abort", stop, { once: true });
  const done = new AbortController();
  clock.sleep(milliseconds, done.signal).then(
    () => limit.abort(new DOMException("No answer in time.", "TimeoutError")),
    () => undefined,
  );
  try {
    return await work(limit.signal);
  } finally {
    done.abort();
    signal?.removeEventListener("abort", stop);
  }
}
