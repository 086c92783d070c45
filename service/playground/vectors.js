/** The inner product, which for vectors of unit length is the cosine of their angle. */
export function dot(a, b) {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

/** The other pictures, most alike first. */
export function nearest(picture, others, count) {
  return others
    .filter((other) => other !== picture)
    .sort((a, b) => picture.similarity(b) - picture.similarity(a))
    .slice(0, count);
}

/**
 * The pictures in an order that has alike ones side by side: groups, each a picture at first, are
 * joined two by two, the most alike (by the mean of their pairs) first.
 */
export function sideBySide(pictures) {
  const groups = pictures.map((picture) => [picture]);
  while (groups.length > 1) {
    let best = { mean: -Infinity };
    for (let a = 0; a < groups.length; a++) {
      for (let b = a + 1; b < groups.length; b++) {
        const mean = meanSimilarity(groups[a], groups[b]);
        if (mean > best.mean) best = { mean, a, b };
      }
    }
    const [joined] = groups.splice(best.b, 1);
    groups[best.a].push(...joined);
  }
  return groups.flat();
}

function meanSimilarity(left, right) {
  let sum = 0;
  for (const a of left) for (const b of right) sum += a.similarity(b);
  return sum / (left.length * right.length);
}
