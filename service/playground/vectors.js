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
 * joined two by two where each is the other's most alike (by the mean of their pairs), the way round
 * that puts the more alike ends together. A chain of nearest neighbours finds them in n² steps.
 */
export function sideBySide(pictures) {
  const groups = new Map(pictures.map((picture, i) => [i, [picture]]));
  const means = pictures.map((a) => Float64Array.from(pictures, (b) => a.similarity(b)));
  const chain = [];
  while (groups.size > 1) {
    if (chain.length === 0) chain.push(groups.keys().next().value);
    const [before, last] = [chain.at(-2), chain.at(-1)];
    let best = before;
    for (const other of groups.keys()) {
      if (other !== last && (best === undefined || means[last][other] > means[last][best])) best = other;
    }
    if (best !== before) {
      chain.push(best);
      continue;
    }
    chain.length -= 2;
    const [a, b] = [groups.get(before), groups.get(last)];
    for (const other of groups.keys()) {
      const mean = (a.length * means[before][other] + b.length * means[last][other]) / (a.length + b.length);
      means[before][other] = means[other][before] = mean;
    }
    groups.set(before, joined(a, b));
    groups.delete(last);
  }
  return [...groups.values()].flat();
}

function joined(a, b) {
  const ways = [[a, b], [a, b.toReversed()], [a.toReversed(), b], [a.toReversed(), b.toReversed()]];
  const likeness = ([left, right]) => left.at(-1).similarity(right[0]);
  return ways.reduce((best, way) => (likeness(way) > likeness(best) ? way : best)).flat();
}
