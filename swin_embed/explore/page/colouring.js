// Which colour each image has on the map, and what the colours mean.

import { kinds } from "../playground/colours.js";

const MOST = 24;
const AGES = 8;

/**
 * @param {Collection} collection
 * @param {string} by cluster, folder, type, changed, missing, or empty for one colour
 * @returns {{kinds: Int32Array | null, palette: string[], labels: string[]}} -1 is grey
 */
export function colouring(collection, by) {
  const { table, files, clusters, missing } = collection;
  const none = { kinds: null, palette: [], labels: [] };
  if (by === "cluster") return clusters ? counted(clusters, (kind) => `Cluster ${kind + 1}`) : none;
  if (by === "folder") return counted(table.folder, (kind) => table.folders[kind]);
  if (by === "type") return counted(table.type, (kind) => table.types[kind]);
  if (by === "missing") {
    const found = Int32Array.from({ length: table.vectors }, (_, i) => (missing.has(i) ? 0 : -1));
    return { kinds: found, palette: kinds(1), labels: ["Missing file"] };
  }
  if (by === "changed") {
    const dates = files.changed.filter(Boolean);
    if (!dates.length) return none;
    const [first, last] = dates.reduce(([a, b], date) => [Math.min(a, date), Math.max(b, date)], [Infinity, 0]);
    const step = (last - first || 1) / AGES;
    const found = Int32Array.from(files.changed, (date) => (date ? Math.min(AGES - 1, Math.floor((date - first) / step)) : -1));
    const palette = Array.from({ length: AGES }, (_, i) => `oklch(${0.45 + (0.4 * i) / AGES} 0.14 ${280 - (200 * i) / AGES})`);
    const labels = palette.map((_, i) => `from ${new Date((first + i * step) * 1000).toISOString().slice(0, 10)}`);
    return { kinds: found, palette, labels };
  }
  return none;
}

/** The most frequent kinds have a colour each; the others are grey. */
function counted(values, label) {
  const counts = new Map();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  const frequent = [...counts].sort((a, b) => b[1] - a[1] || a[0] - b[0]).slice(0, MOST).map(([value]) => value);
  const place = new Map(frequent.map((value, i) => [value, i]));
  return {
    kinds: Int32Array.from(values, (value) => place.get(value) ?? -1),
    palette: kinds(frequent.length),
    labels: frequent.map((value) => `${label(value)} (${counts.get(value).toLocaleString("en")})`),
  };
}
