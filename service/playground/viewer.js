// Pictures large, over the page: one with what is known of it, or two side by side.

import { view } from "./thumbnail.js";

export class Viewer {
  #dialog = document.createElement("dialog");
  #urls = [];
  #step = null;

  constructor() {
    this.#dialog.className = "viewer";
    document.body.append(this.#dialog);
    this.#dialog.addEventListener("close", () => this.#release());
    this.#dialog.addEventListener("click", (event) => {
      if (event.target === this.#dialog) this.close(); // beside what it holds
    });
    this.#dialog.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (step && this.#step && !event.target.matches("input, select, textarea")) this.#step(step);
    });
  }

  get open() {
    return this.#dialog.open;
  }

  close() {
    this.#dialog.close();
  }

  /**
   * @param {object[]} pictures each with `name`, `thumbnail` and `original()`, the URL of the whole
   *   image or null
   * @param {{line?: string, body?: Node[], step?: (by: number) => void}} about `line` stands between
   *   them, `body` beside; `step` goes to the one before or after
   */
  show(pictures, { line = "", body = [], step = null }) {
    this.#release();
    this.#step = step;
    const stage = document.createElement("div");
    stage.className = "stage";
    stage.dataset.count = pictures.length;
    stage.append(...pictures.map((picture) => this.#figure(picture)));
    const bar = document.createElement("div");
    bar.className = "bar";
    const title = document.createElement("h2");
    title.textContent = line || pictures[0].name;
    bar.append(title);
    if (step) bar.append(button("‹", "Previous image", () => step(-1)), button("›", "Next image", () => step(1)));
    bar.append(button("×", "Close", () => this.close()));
    const side = document.createElement("div");
    side.className = "about";
    side.append(...body);
    side.hidden = body.length === 0;
    this.#dialog.setAttribute("aria-label", pictures.map(({ name }) => name).join(" and "));
    this.#dialog.replaceChildren(bar, stage, side);
    if (!this.#dialog.open) this.#dialog.showModal();
    bar.lastElementChild.focus();
  }

  #figure(picture) {
    const figure = document.createElement("figure");
    const caption = document.createElement("figcaption");
    caption.textContent = picture.name;
    const url = picture.original();
    const stand_in = () => {
      const small = view(picture);
      small.classList.add("small");
      return small;
    };
    if (!url) {
      figure.append(stand_in(), caption);
      return figure;
    }
    if (url.startsWith("blob:")) this.#urls.push(url);
    const image = Object.assign(new Image(), { src: url, alt: picture.name });
    image.addEventListener("error", () => image.replaceWith(stand_in()));
    figure.append(image, caption);
    return figure;
  }

  #release() {
    for (const url of this.#urls) URL.revokeObjectURL(url);
    this.#urls = [];
  }
}

function button(text, label, press) {
  const made = document.createElement("button");
  Object.assign(made, { type: "button", textContent: text, title: label });
  made.setAttribute("aria-label", label);
  made.addEventListener("click", press);
  return made;
}
