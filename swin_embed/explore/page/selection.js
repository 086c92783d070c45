// The images that are selected, and their export.

import { save } from "../playground/downloads.js";
import { answer } from "./images.js";

const part = (id) => document.getElementById(id);

export class Selection {
  numbers = new Set();
  #last = -1;

  /**
   * @param {() => void} redraw what shows which images are selected
   * @param {(text: string) => void} complain
   */
  constructor(redraw, complain) {
    Object.assign(this, { redraw, complain });
    part("deselect").addEventListener("click", () => {
      this.numbers.clear();
      this.#changed();
      redraw();
    });
    for (const button of document.querySelectorAll("#selection [data-form]")) {
      button.addEventListener("click", () => this.#export(button.dataset.form));
    }
  }

  /** Select one or not; with Shift all tiles from the last one to it. */
  set(number, on, event) {
    const images = [...document.querySelectorAll("#content .tile")].map(({ dataset }) => Number(dataset.number));
    if (event?.shiftKey && images.includes(this.#last)) {
      const [from, to] = [images.indexOf(this.#last), images.indexOf(number)].sort((a, b) => a - b);
      for (const between of images.slice(from, to + 1)) this.numbers.add(between);
      this.redraw();
    } else if (on) this.numbers.add(number);
    else this.numbers.delete(number);
    this.#last = number;
    this.#changed();
  }

  addAll(numbers) {
    for (const number of numbers) this.numbers.add(number);
    this.#changed();
    this.redraw();
  }

  #changed() {
    part("selection").hidden = this.numbers.size === 0;
    part("selected").textContent = `${this.numbers.size.toLocaleString("en")} selected`;
  }

  async #export(form) {
    const images = [...this.numbers].sort((a, b) => a - b);
    const headers = { "Content-Type": "application/json" };
    try {
      const found = await answer("api/selection", { method: "POST", headers, body: JSON.stringify({ form, images }) });
      save(`selection.${form === "paths" ? "txt" : form}`, await found.blob(), found.headers.get("Content-Type"));
    } catch (error) {
      this.complain(error.message);
    }
  }
}
