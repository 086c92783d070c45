import { cosine } from "./cosine.js";
import { view } from "./thumbnail.js";

const LEGEND_STEPS = 9;
const NARROWEST = 0.01;

/**
 * A table of the cosine of every pair.
 *
 * @param {object[]} pictures in the order of rows and columns
 * @param {{low: number, high: number}} range that the colours span
 * @param {(row: object, column: object) => void} onOpen is called with the two pictures of a cell
 */
export function heatmap(pictures, range, digits, onOpen) {
  const table = document.createElement("table");
  table.style.setProperty("--n", pictures.length);
  const caption = table.createCaption();
  caption.className = "hidden";
  caption.textContent = "Cosine similarity of every pair of images";

  const head = table.createTHead().insertRow();
  head.append(document.createElement("td"), ...pictures.map((picture) => header(picture, "col")));
  const body = table.createTBody();
  for (const picture of pictures) {
    const row = body.insertRow();
    row.append(header(picture, "row"));
    for (const other of pictures) row.append(cell(picture, other, range, digits, onOpen));
  }

  const frame = document.createElement("div");
  frame.className = "frame";
  frame.tabIndex = 0;
  frame.setAttribute("role", "region");
  frame.setAttribute("aria-label", "Similarity table");
  frame.append(table);
  return frame;
}

/** The least and the largest cosine of two of the pictures. */
export function rangeOf(pictures) {
  let [low, high] = [Infinity, -Infinity];
  pictures.forEach((a, i) => {
    for (const b of pictures.slice(i + 1)) {
      const value = a.similarity(b);
      [low, high] = [Math.min(low, value), Math.max(high, value)];
    }
  });
  return { low: Math.min(low, high - NARROWEST), high };
}

function header(picture, scope) {
  const th = document.createElement("th");
  th.scope = scope;
  th.title = picture.name;
  th.append(view(picture, scope === "col" ? picture.name : ""));
  if (scope === "row") {
    th.append(Object.assign(document.createElement("span"), { textContent: picture.name }));
  }
  return th;
}

function cell(picture, other, range, digits, onOpen) {
  const td = document.createElement("td");
  if (picture === other) {
    td.textContent = "1";
    td.className = "self";
    return td;
  }
  const value = picture.similarity(other);
  td.textContent = cosine(value, digits);
  td.title = `${picture.name} and ${other.name}: ${cosine(value, 4)}`;
  td.style.setProperty("--p", place(value, range));
  td.addEventListener("click", () => onOpen(picture, other));
  return td;
}

/** What the colours mean. */
export function legend(range, digits) {
  const element = document.createElement("div");
  element.className = "legend";
  const steps = document.createElement("div");
  steps.setAttribute("aria-hidden", "true");
  for (let i = 0; i < LEGEND_STEPS; i++) {
    const step = document.createElement("span");
    step.style.setProperty("--p", i / (LEGEND_STEPS - 1));
    steps.append(step);
  }
  const ends = [range.low, range.high].map((value) => cosine(value, digits));
  element.append(ends[0], steps, `${ends[1]} cosine similarity`);
  return element;
}

/** Where in the range a value lies, 0 to 1. */
function place(value, { low, high }) {
  return ((value - low) / (high - low)).toFixed(3);
}
