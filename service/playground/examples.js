// Images to try the page with, drawn here: three scenes, each a few times, always the same.

import { city, flowers, sunset } from "./scenes.js";

const SCENES = { sunset, city, flowers };
const VARIANTS = 3;
const [WIDTH, HEIGHT] = [640, 480];

/** @returns {Promise<File[]>} PNG files, `sunset-1.png` to `flowers-3.png` */
export function drawExamples() {
  const files = [];
  for (const [name, paint] of Object.entries(SCENES)) {
    for (let variant = 1; variant <= VARIANTS; variant++) {
      const canvas = document.createElement("canvas");
      Object.assign(canvas, { width: WIDTH, height: HEIGHT });
      paint(canvas.getContext("2d"), WIDTH, HEIGHT, seeded(variant));
      files.push(file(canvas, `${name}-${variant}.png`));
    }
  }
  return Promise.all(files);
}

async function file(canvas, name) {
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  return new File([blob], name, { type: "image/png" });
}

/** A function that gives the same numbers between its two arguments for the same seed (mulberry32). */
function seeded(seed) {
  let state = Math.imul(seed, 0x9e3779b9);
  return (from, to) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return from + (to - from) * (((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32);
  };
}
