// The cosine of every pair as a square picture, for more images than a table of numbers can show.

import { onScheme, ramp, variable } from "./colours.js";
import { cosine } from "./cosine.js";
import { Tip } from "./tip.js";
import { oncePerFrame, Viewport } from "./viewport.js";

const STRIP_PX = 26;
const NUMBER_PX = 34;
const EXPORT_PX = 24;
const KEYS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };

export class Matrix {
  #pictures = [];
  #range = { low: 0, high: 1 };
  #digits = 2;
  #cell = null;
  #images = new Map();

  /**
   * @param {HTMLElement} frame to fill
   * @param {HTMLElement} tools that takes its buttons
   * @param {(row: object, column: object) => void} onOpen is called with the two pictures of a cell
   */
  constructor(frame, tools, onOpen) {
    this.canvas = document.createElement("canvas");
    this.canvas.tabIndex = 0;
    this.canvas.setAttribute("role", "img");
    this.say = document.createElement("p");
    this.say.className = "hidden";
    this.say.setAttribute("aria-live", "polite");
    frame.classList.add("matrix");
    frame.append(this.canvas, this.say);
    this.view = new Viewport(this.canvas, { most: 40, wheel: "ctrl", keys: false });
    tools.append(this.view.buttons());
    this.tip = new Tip(frame);
    this.draw = oncePerFrame(() => this.#draw());
    this.view.addEventListener("change", this.draw);
    this.view.addEventListener("hover", ({ detail }) => this.#mark(detail && this.#at(detail), detail));
    this.view.addEventListener("press", ({ detail }) => {
      const cell = this.#at(detail);
      if (cell) onOpen(...this.#pair(cell));
    });
    this.canvas.addEventListener("keydown", (event) => this.#key(event, onOpen));
    this.canvas.addEventListener("blur", () => this.#mark(null, null));
    onScheme(this.draw);
  }

  /**
   * @param {object[]} pictures in the order of rows and columns
   * @param {{low: number, high: number}} range that the colours span
   */
  show(pictures, range, digits) {
    this.#pictures = pictures;
    this.#range = range;
    this.#digits = digits;
    this.#cell = null;
    this.canvas.setAttribute("aria-label",
      `Cosine similarity of every pair of ${pictures.length} images. Arrow keys go from cell to cell, Enter opens one.`);
    this.draw();
  }

  /** The whole as a canvas of its own, to be saved. */
  picture() {
    const side = STRIP_PX * 2 + this.#pictures.length * EXPORT_PX;
    const canvas = Object.assign(document.createElement("canvas"), { width: side, height: side });
    const context = canvas.getContext("2d");
    context.fillStyle = variable("--page");
    context.fillRect(0, 0, side, side);
    this.#paint(context, { strip: 2 * STRIP_PX, step: EXPORT_PX, x: 0, y: 0, side });
    return canvas;
  }

  get #strip() {
    return this.#step >= 13 ? STRIP_PX : 0;
  }

  get #step() {
    return (this.view.scale * (this.view.width - STRIP_PX)) / this.#pictures.length;
  }

  #draw() {
    const { canvas, view } = this;
    if (!canvas.width || !this.#pictures.length) return;
    const context = canvas.getContext("2d");
    const dense = canvas.width / view.width;
    context.setTransform(dense, 0, 0, dense, 0, 0);
    context.clearRect(0, 0, view.width, view.height);
    this.#paint(context, { strip: STRIP_PX, step: this.#step, x: view.x, y: view.y, side: view.width });
    if (!this.#cell) return;
    const [row, column] = this.#cell;
    context.strokeStyle = variable("--text");
    context.lineWidth = 2;
    context.strokeRect(STRIP_PX + column * this.#step + view.x, STRIP_PX + row * this.#step + view.y, this.#step, this.#step);
  }

  #paint(context, { strip, step, x, y, side }) {
    const pictures = this.#pictures;
    const colour = ramp();
    const { low, high } = this.#range;
    const gap = step > 10 ? 1 : 0;
    const first = (offset) => Math.max(0, Math.floor(-offset / step));
    const last = (offset) => Math.min(pictures.length, Math.ceil((side - strip - offset) / step));
    context.save();
    context.beginPath();
    context.rect(strip, strip, side - strip, side - strip);
    context.clip();
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.font = "12px system-ui, sans-serif";
    for (let row = first(y); row < last(y); row++) {
      for (let column = first(x); column < last(x); column++) {
        const self = row === column;
        const value = pictures[row].similarity(pictures[column]);
        const { fill, text } = colour(Math.max(0, Math.min(1, (value - low) / (high - low))));
        const [left, top] = [strip + column * step + x, strip + row * step + y];
        context.fillStyle = self ? variable("--sunken") : fill;
        context.fillRect(left, top, step - gap, step - gap);
        if (step < NUMBER_PX || self) continue;
        context.fillStyle = text;
        context.fillText(cosine(value, this.#digits), left + step / 2, top + step / 2);
      }
    }
    context.restore();
    for (const [across, offset] of [[true, x], [false, y]]) {
      for (let i = first(offset); i < last(offset); i++) {
        const along = strip + i * step + offset;
        const size = Math.min(step - 1, strip - 3);
        const at = along + (step - size) / 2;
        if (at < strip - 2) continue;
        this.#thumbnail(context, pictures[i], across ? at : strip - 2 - size, across ? strip - 2 - size : at, size);
      }
    }
  }

  #thumbnail(context, picture, x, y, size) {
    let image = this.#images.get(picture);
    if (!image && picture.thumbnail) {
      image = new Image();
      image.onload = this.draw;
      image.src = picture.thumbnail;
      this.#images.set(picture, image);
    }
    if (image?.complete && image.naturalWidth) {
      const side = Math.min(image.naturalWidth, image.naturalHeight);
      const cut = [(image.naturalWidth - side) / 2, (image.naturalHeight - side) / 2, side, side];
      context.drawImage(image, ...cut, x, y, size, size);
    } else {
      context.fillStyle = variable("--line");
      context.fillRect(x, y, size, size);
    }
  }

  #at({ x, y }) {
    if (x < STRIP_PX || y < STRIP_PX) return null;
    const cell = [y - this.view.y, x - this.view.x].map((at) => Math.floor((at - STRIP_PX) / this.#step));
    return cell.every((index) => index >= 0 && index < this.#pictures.length) ? cell : null;
  }

  #pair([row, column]) {
    return [this.#pictures[row], this.#pictures[column]];
  }

  #mark(cell, at) {
    this.#cell = cell;
    this.draw();
    this.canvas.style.cursor = cell ? "pointer" : "";
    if (!cell) {
      this.tip.hide();
      return;
    }
    const [row, column] = this.#pair(cell);
    const value = cosine(row.similarity(column), 4);
    this.tip.show(value, row === column ? [row] : [row, column], at);
    if (!at.event) this.say.textContent = `${row.name} and ${column.name}: ${value}`;
  }

  #key(event, onOpen) {
    const [row, column] = this.#cell ?? [0, 0];
    if (event.key === "Enter" && this.#cell) onOpen(...this.#pair(this.#cell));
    const step = KEYS[event.key];
    if (!step) return;
    event.preventDefault();
    const last = this.#pictures.length - 1;
    const cell = this.#cell
      ? [row + step[0], column + step[1]].map((index) => Math.max(0, Math.min(last, index)))
      : [0, 0];
    const middle = (index, offset) => STRIP_PX + (index + 0.5) * this.#step + offset;
    this.#mark(cell, { x: middle(cell[1], this.view.x), y: middle(cell[0], this.view.y) });
  }
}
