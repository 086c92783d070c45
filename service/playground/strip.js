const SVG = "http://www.w3.org/2000/svg";

/**
 * A vector as a strip of bars, up for positive and down for negative numbers.
 *
 * @param {number[]} vector
 * @param {number} largest the magnitude that takes the whole height, the same for all strips
 */
export function strip(vector, largest) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", `0 -1 ${vector.length} 2`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", describe(vector));
  const bars = document.createElementNS(SVG, "path");
  bars.setAttribute("d", vector.map((value, i) => {
    const height = (-value / largest).toFixed(3);
    return `M${i} 0V${height}H${i + 1}V0Z`;
  }).join(""));
  svg.append(bars);
  return svg;
}

export function largestMagnitude(vectors) {
  let largest = 0;
  for (const vector of vectors) for (const value of vector) largest = Math.max(largest, Math.abs(value));
  return largest;
}

function describe(vector) {
  const [least, most] = [Math.min(...vector), Math.max(...vector)];
  return `${vector.length} numbers from ${least.toFixed(3)} to ${most.toFixed(3)}`;
}
