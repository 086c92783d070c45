const SAME = 1 - 1e-6;

/** A cosine as text; what is not 1 is never rounded to it. */
export function cosine(value, digits = 3) {
  const text = value.toFixed(digits);
  if (Number(text) === 1 && value < SAME) return `0.${"9".repeat(digits)}`;
  return Number(text) === 0 ? text.replace("-", "") : text;
}

/** Digits that tell the values of a table apart, and the largest of them from 1. */
export function digitsFor(low, high) {
  return high - low < 0.1 || (high >= 0.995 && high < SAME) ? 3 : 2;
}
