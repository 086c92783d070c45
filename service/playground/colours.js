// Colours of values and of kinds, as CSS variables say, so that light and dark are theirs alone.

const STEPS = 64;

/** Call back when the page turns light or dark. */
export function onScheme(redraw) {
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
}

/** The value of a CSS variable of the page. */
export function variable(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/**
 * The colours of a heatmap, as the table's cells have them, and whether text on them is white.
 *
 * @returns {(place: number) => {fill: string, text: string}} of a place between 0 and 1
 */
export function ramp() {
  const [l0, l1, c0, c1, h0, h1, turn, above] =
    ["l0", "l1", "c0", "c1", "h0", "h1", "turn", "above"].map((name) => Number(variable(`--${name}`)));
  const steps = Array.from({ length: STEPS + 1 }, (_, i) => {
    const p = i / STEPS;
    const chroma = c0 + p * (c1 - c0) + 0.12 * p * (1 - p);
    const white = (p - turn) * above > 0;
    return {
      fill: `oklch(${l0 + p * (l1 - l0)} ${chroma} ${h0 + p * (h1 - h0)})`,
      text: white ? "#fff" : "#000",
    };
  });
  return (place) => steps[Math.round(place * STEPS)];
}

/**
 * Colours that tell kinds apart: every hue before any comes again, paler then darker.
 *
 * @param {number} count of kinds
 * @returns {string[]} CSS colours
 */
export function kinds(count) {
  const light = Number(variable("--kind-light"));
  const hues = Math.min(count, 12);
  return Array.from({ length: count }, (_, i) => {
    const round = Math.floor(i / hues) % 3;
    const lightness = light + [0, 0.13, -0.13][round];
    // Five steps of a twelfth go round once in twelve, with neighbours far apart.
    const hue = 250 + (360 / hues) * ((i * 5) % hues || i % hues);
    return `oklch(${lightness} 0.145 ${hue % 360})`;
  });
}

/** A CSS colour as `[r, g, b]`, 0 to 255. */
export function channels(colour) {
  const context = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  context.fillStyle = colour;
  context.fillRect(0, 0, 1, 1);
  return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
}
