import { view } from "./thumbnail.js";

/** What is told beside the pointer: pictures, each with its name, and a line. */
export class Tip {
  #element = document.createElement("div");
  #shown = null;

  /** @param {HTMLElement} frame that it lies in, positioned */
  constructor(frame) {
    this.frame = frame;
    this.#element.className = "tip";
    this.#element.hidden = true;
    this.#element.setAttribute("aria-hidden", "true");
    frame.append(this.#element);
  }

  /**
   * @param {string} line
   * @param {{name: string, thumbnail?: string | null}[]} pictures
   * @param {{x: number, y: number}} at in pixels of the frame
   */
  show(line, pictures, { x, y }) {
    const key = [line, ...pictures.map((picture) => `${picture.name} ${picture.thumbnail}`)].join("\n");
    if (key !== this.#shown) {
      this.#shown = key;
      const figures = pictures.map((picture) => {
        const figure = document.createElement("figure");
        const caption = document.createElement("figcaption");
        caption.textContent = picture.name;
        figure.append(view(picture), caption);
        return figure;
      });
      const text = Object.assign(document.createElement("b"), { textContent: line });
      this.#element.replaceChildren(...figures, ...(line ? [text] : []));
    }
    this.#element.hidden = false;
    const { clientWidth, clientHeight } = this.frame;
    const { offsetWidth, offsetHeight } = this.#element;
    const left = x + 16 + offsetWidth > clientWidth ? x - 16 - offsetWidth : x + 16;
    const top = y + 16 + offsetHeight > clientHeight ? y - 16 - offsetHeight : y + 16;
    this.#element.style.left = `${Math.max(0, Math.min(left, clientWidth - offsetWidth))}px`;
    this.#element.style.top = `${Math.max(0, Math.min(top, clientHeight - offsetHeight))}px`;
  }

  hide() {
    this.#element.hidden = true;
  }
}
