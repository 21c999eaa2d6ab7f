/** Amounts: exact decimal text, never a number. */

declare const amount: unique symbol;

/**
 * An exact decimal number as text, without exponent or trailing zeros.
 *
 * The brand keeps other text from being taken for an amount. Do not give one to `Number`: it would round.
 */
export type Amount = string & { readonly [amount]: true };
