// What each view but the map shows, as elements.

import { cosine } from "../playground/cosine.js";
import { json } from "./images.js";
import { tiles } from "./tiles.js";

const MOST_GROUPS = 300;

export class Views {
  /** Least cosine of a duplicate. */
  #threshold = 0.85;

  /**
   * @param {Collection} collection
   * @param {Viewer} viewer
   * @param {object} actions those of tiles, `showCluster(i)`, `selectAll(numbers)`, `redraw()`, and
   *   `wait(text)` while something is computed
   */
  constructor(collection, viewer, actions) {
    Object.assign(this, { collection, viewer, actions });
  }

  images(list) {
    return list.length ? [tiles(list, this.actions)] : [empty("No image is left by the filters.")];
  }

  async clusters() {
    const found = await json("api/clusters");
    return found.map(({ count, typical, odd }, i) => {
      const row = document.createElement("section");
      row.className = "row";
      const heading = document.createElement("div");
      heading.className = "heading";
      const show = Object.assign(document.createElement("button"), { type: "button", className: "small", textContent: "Show all" });
      show.addEventListener("click", () => this.actions.showCluster(i));
      heading.append(title(`Cluster ${i + 1}`, `${count.toLocaleString("en")} images`), show);
      row.append(heading, this.#labelled("Most typical", typical), this.#labelled("Oddest", odd));
      return row;
    });
  }

  async apart(mask) {
    const [numbers, likeness] = await json("api/apart");
    const list = numbers.map((number, i) => ({ number, value: likeness[i] })).filter(({ number }) => mask[number]);
    const about = Object.assign(document.createElement("p"), {
      className: "muted",
      textContent: "Least like their nearest neighbours first; the number is the mean cosine to those.",
    });
    return [about, tiles(list, this.actions)];
  }

  async duplicates(mask) {
    this.actions.wait("Comparing all pairs…");
    const groups = await json(`api/duplicates?threshold=${this.#threshold}`);
    const shown = groups.filter(({ keep, copies }) => mask[keep] || copies.some(([number]) => mask[number]));
    const tools = document.createElement("div");
    tools.className = "tools";
    const label = document.createElement("label");
    const field = Object.assign(document.createElement("input"), { type: "number", min: 0.5, max: 1, step: 0.01, value: this.#threshold });
    field.id = "threshold";
    field.addEventListener("change", () => {
      this.#threshold = Math.min(1, Math.max(0.5, Number(field.value) || 0.85));
      this.actions.redraw();
    });
    label.append("From a cosine of ", field);
    const redundant = Object.assign(document.createElement("button"), { type: "button", className: "small", textContent: "Select all copies" });
    redundant.addEventListener("click", () => this.actions.selectAll(shown.flatMap(({ copies }) => copies.map(([number]) => number))));
    const count = shown.reduce((sum, { copies }) => sum + copies.length, 0);
    tools.append(label, redundant, `${count} copies in ${shown.length} groups; framed is what to keep`);
    const rows = shown.slice(0, MOST_GROUPS).flatMap(({ keep, copies, spare }) => {
      const head = title(this.collection.image(keep).name, `${copies.length} ${copies.length === 1 ? "copy" : "copies"}${spare ? `, ${(spare / 1e6).toFixed(1)} MB` : ""}`);
      const compare = (number) => this.viewer.show([this.collection.image(keep), this.collection.image(number)], {
        line: `${cosine(copies.find(([n]) => n === number)[1], 4)} cosine similarity`,
      });
      const list = tiles([
        { number: keep, label: "keep", mark: "keep" },
        ...copies.map(([number, value, exact]) => ({ number, value, label: exact ? "exact" : undefined })),
      ], { ...this.actions, open: (number, order) => (number === keep ? this.actions.open(number, order) : compare(number)) });
      return [head, list];
    });
    const note = shown.length > MOST_GROUPS ? [empty(`The ${MOST_GROUPS} groups that take the most are shown, of ${shown.length}.`)] : [];
    return shown.length ? [tools, ...rows, ...note] : [tools, empty("No duplicates.")];
  }

  errors() {
    const { table, missing } = this.collection;
    const list = document.createElement("ul");
    list.className = "errors";
    const line = (number, words) => {
      const item = document.createElement("li");
      item.append(Object.assign(document.createElement("b"), { textContent: this.collection.image(number).path }),
        Object.assign(document.createElement("span"), { textContent: words }));
      list.append(item);
    };
    table.errors.forEach((error, i) => line(table.vectors + i, error));
    for (const number of missing) line(number, "the file is not there any more");
    return list.children.length ? [list] : [empty("Every image has a vector, and every file is there.")];
  }

  #labelled(text, numbers) {
    const box = document.createElement("div");
    box.append(Object.assign(document.createElement("p"), { textContent: numbers.length ? text : "" }),
      tiles(numbers.map((number) => ({ number })), this.actions));
    return box;
  }
}

function title(text, small) {
  const head = document.createElement("h3");
  head.append(text, Object.assign(document.createElement("small"), { textContent: small }));
  return head;
}

export function empty(text) {
  return Object.assign(document.createElement("p"), { className: "empty", textContent: text });
}
