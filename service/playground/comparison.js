// How alike the images are, as a table of numbers, a square picture or a map, by how many there are.

import { digitsFor } from "./cosine.js";
import { downloadCsv, downloadPng } from "./downloads.js";
import { heatmap, legend, rangeOf } from "./heatmap.js";
import { layout } from "./layout.js";
import { ImageMap } from "./map.js";
import { Matrix } from "./matrix.js";

/** As many images as a table of numbers can show, and as many as a matrix can. */
export const TABLE = 15;
const MATRIX = 40;

const part = (id) => document.getElementById(id);

export class Comparison {
  #matrix;
  #map;
  #pictures = [];
  #drawn = null;
  #points = null;

  /** @param {{open: (picture) => void, compare: (a, b) => void}} actions */
  constructor(actions) {
    this.actions = actions;
    this.#matrix = new Matrix(part("matrix"), part("tools"), actions.compare);
    this.#map = new ImageMap(part("map"), {
      label: "Map of the images: alike ones are near each other. The gallery lists the same images.",
      wheel: "ctrl",
      onOpen: (i) => actions.open(this.#points.pictures[i]),
    });
    part("views").addEventListener("change", () => this.#arrange());
    part("matrix-csv").addEventListener("click", () => downloadCsv(this.#pictures));
    part("matrix-png").addEventListener("click", () => downloadPng(this.#matrix.picture()));
  }

  /**
   * @param {object[]} pictures in their order, embedded
   * @param {string} state changes whenever what is to be shown does
   * @param {boolean} settled whether no more images are about to come
   */
  draw(pictures, state, settled) {
    if (`${state} ${settled}` === this.#drawn) return;
    this.#drawn = `${state} ${settled}`;
    this.#pictures = pictures;
    this.settled = settled;
    this.#arrange();
  }

  #arrange() {
    const pictures = this.#pictures;
    const many = pictures.length > TABLE;
    part("few").hidden = pictures.length >= 2;
    part("views").hidden = !many;
    part("export").hidden = pictures.length < 2;
    const chosen = document.querySelector("#views input:checked")?.value ?? "auto";
    const mapped = many && (chosen === "map" || (chosen === "auto" && pictures.length > MATRIX));
    for (const radio of document.querySelectorAll("#views input")) {
      radio.parentElement.dataset.on = (radio.value === "map") === mapped;
    }
    part("heatmap").hidden = many || pictures.length < 2;
    part("matrix").hidden = !many || mapped;
    part("tools").hidden = part("matrix").hidden;
    part("map").hidden = !mapped;
    part("legend").hidden = mapped || pictures.length < 2;
    part("hint").hidden = !many;
    part("hint").textContent = mapped
      ? "Near each other: alike. Drag to move, Ctrl and wheel to zoom, click to enlarge."
      : "Hover for names and numbers, Ctrl and wheel to zoom, click to see both.";
    if (pictures.length < 2) return;
    const range = rangeOf(pictures);
    const digits = digitsFor(range.low, range.high);
    part("legend").replaceChildren(legend(range, digits));
    this.#matrix.show(pictures, range, digits);
    if (mapped) this.#drawMap();
    else if (!many) part("heatmap").replaceChildren(heatmap(pictures, range, digits, this.actions.compare));
  }

  /** The map does not depend on the order, and is laid out when all images are there. */
  #drawMap() {
    const same = (a, b) => a?.length === b.length && b.every((picture) => a.includes(picture));
    if (this.settled && !same(this.#points?.pictures, this.#pictures)) {
      const pictures = [...this.#pictures];
      this.#points = { pictures, at: layout(pictures.map(({ vector }) => vector)) };
      this.#map.view.fit();
    }
    if (!this.#points) return;
    const { pictures, at } = this.#points;
    const picture = (this.#points.picture ??= (i) => pictures[i]);
    this.#map.show({ points: at, picture });
  }
}
