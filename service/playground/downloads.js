import { npy } from "./npy.js";

export function downloadNpy(picture) {
  save(`${stem(picture.name)}.npy`, npy(picture.vector, [picture.vector.length]), "application/x-npy");
}

export function downloadJson(picture, model) {
  const content = { model, name: picture.name, embedding: picture.vector };
  save(`${stem(picture.name)}.json`, JSON.stringify(content), "application/json");
}

/** All vectors as rows `[n, dim]`, in the order of the page. */
export function downloadAllNpy(pictures) {
  const rows = pictures.map((picture) => picture.vector);
  save("embeddings.npy", npy(rows.flat(), [rows.length, rows[0].length]), "application/x-npy");
}

export function downloadAllJson(pictures, model) {
  const images = pictures.map(({ name, vector }) => ({ name, embedding: vector }));
  save("embeddings.json", JSON.stringify({ model, images }), "application/json");
}

/** The cosine of every pair, a row and a column an image, names first. */
export function downloadCsv(pictures) {
  const rows = pictures.map((a) => [field(a.name), ...pictures.map((b) => a.similarity(b).toFixed(6))]);
  const head = ["", ...pictures.map(({ name }) => field(name))];
  save("similarity.csv", [head, ...rows].map((row) => `${row.join(",")}\r\n`).join(""), "text/csv");
}

export async function downloadPng(canvas) {
  save("similarity.png", await new Promise((resolve) => canvas.toBlob(resolve)), "image/png");
}

/** A name as a field of CSV; one that a spreadsheet would take for a formula is led by an apostrophe. */
function field(text) {
  return `"${text.replace(/^(?=[=+\-@\t\r])/, "'").replaceAll('"', '""')}"`;
}

/** Have the browser save a file. */
export function save(name, content, type) {
  const url = URL.createObjectURL(new Blob([content], { type }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  // The browser has to have started reading before the URL goes.
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

function stem(name) {
  return name.replace(/\.[^.]+$/, "") || name;
}
