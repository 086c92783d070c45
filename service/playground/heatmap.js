import { view } from "./thumbnail.js";
import { sideBySide } from "./vectors.js";

const MOST = 64;
const LEGEND_STEPS = 9;
const NARROWEST = 0.01;

/**
 * A table of the cosine of every pair; its colours span the values that occur.
 *
 * @param {boolean} sorted whether to put alike ones next to each other
 */
export function heatmap(pictures, sorted) {
  const first = pictures.slice(0, MOST);
  const shown = sorted ? sideBySide(first) : first;
  const range = rangeOf(shown);
  const digits = range.high - range.low < 0.1 ? 3 : 2;

  const table = document.createElement("table");
  table.style.setProperty("--n", shown.length);
  table.classList.toggle("dense", shown.length > 16);
  const caption = table.createCaption();
  caption.className = "hidden";
  caption.textContent = "Cosine similarity of every pair of images";

  const head = table.createTHead().insertRow();
  head.append(document.createElement("td"), ...shown.map((picture) => header(picture, "col")));
  const body = table.createTBody();
  for (const picture of shown) {
    const row = body.insertRow();
    row.append(header(picture, "row"));
    for (const other of shown) row.append(cell(picture, other, range, digits));
  }

  const frame = document.createElement("div");
  frame.className = "frame";
  frame.tabIndex = 0;
  frame.setAttribute("role", "region");
  frame.setAttribute("aria-label", "Similarity table");
  frame.append(table);
  const parts = [frame, legend(range, digits)];
  if (shown.length < pictures.length) {
    const note = `The table shows the first ${MOST} images; the neighbours below are among all.`;
    parts.push(Object.assign(document.createElement("p"), { className: "muted", textContent: note }));
  }
  return parts;
}

function rangeOf(pictures) {
  const values = pictures.flatMap((a, i) => pictures.slice(i + 1).map((b) => a.similarity(b)));
  const high = Math.max(...values);
  return { low: Math.min(...values, high - NARROWEST), high };
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

function cell(picture, other, range, digits) {
  const td = document.createElement("td");
  const value = picture === other ? 1 : picture.similarity(other);
  td.textContent = picture === other ? "1" : value.toFixed(digits);
  td.title = `${picture.name} and ${other.name}: ${value.toFixed(4)}`;
  if (picture === other) td.className = "self";
  else td.style.setProperty("--p", place(value, range));
  return td;
}

function legend(range, digits) {
  const element = document.createElement("div");
  element.className = "legend";
  const steps = document.createElement("div");
  steps.setAttribute("aria-hidden", "true");
  for (let i = 0; i < LEGEND_STEPS; i++) {
    const step = document.createElement("span");
    step.style.setProperty("--p", i / (LEGEND_STEPS - 1));
    steps.append(step);
  }
  element.append(range.low.toFixed(digits), steps, `${range.high.toFixed(digits)} cosine similarity`);
  return element;
}

/** Where in the range a value lies, 0 to 1. */
function place(value, { low, high }) {
  return ((value - low) / (high - low)).toFixed(3);
}
