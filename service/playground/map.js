// A map of images: a point each, its thumbnail where there is room, a hundred thousand of them.

import { channels, onScheme, variable } from "./colours.js";
import { Tip } from "./tip.js";
import { oncePerFrame, Viewport } from "./viewport.js";

const MARGIN_PX = 36;
const NEAR_PX = 14;
const KEPT = 600;
const THUMBNAILS = 350;
const NEAR_CELLS = [-3, -2, -1, 0, 1, 2, 3]
  .flatMap((dx) => [-3, -2, -1, 0, 1, 2, 3].map((dy) => [dx, dy]))
  .sort((a, b) => Math.hypot(...a) - Math.hypot(...b));

/**
 * Points are painted into the bytes of the canvas, which needs no GPU: a disc is some thirty bytes
 * written, where a drawing call is a thousand times as much.
 */
export class ImageMap {
  #points = new Float32Array(0);
  #kinds = null;
  #shown = null;
  #selected = new Set();
  #palette = [];
  #picture = () => null;
  #images = new Map();
  #placed = [];
  #frame = null;

  /**
   * @param {HTMLElement} frame to fill
   * @param {{label: string, wheel: "always" | "ctrl", onOpen: (i: number) => void,
   *   onFrame?: (indices: number[]) => void}} options
   */
  constructor(frame, { label, wheel, onOpen, onFrame }) {
    this.canvas = document.createElement("canvas");
    this.canvas.tabIndex = 0;
    this.canvas.setAttribute("role", "img");
    this.canvas.setAttribute("aria-label", label);
    frame.classList.add("map");
    frame.append(this.canvas);
    this.view = new Viewport(this.canvas, { most: 400, wheel, frames: Boolean(onFrame), bounds: 0.5 });
    frame.append(this.view.buttons());
    this.tip = new Tip(frame);
    this.draw = oncePerFrame(() => this.#draw());
    this.view.addEventListener("change", this.draw);
    this.view.addEventListener("hover", ({ detail }) => this.#hover(detail));
    this.view.addEventListener("press", ({ detail }) => {
      const found = this.#at(detail.x, detail.y);
      if (found >= 0) onOpen(found, detail.event);
    });
    this.view.addEventListener("framing", ({ detail }) => {
      this.#frame = detail;
      this.draw();
    });
    this.view.addEventListener("frame", ({ detail }) => {
      this.#frame = null;
      this.draw();
      onFrame(this.#within(detail));
    });
    onScheme(this.draw);
  }

  /**
   * @param {{points: Float32Array, kinds?: ArrayLike<number>, palette?: string[],
   *   shown?: Uint8Array | null, picture: (i: number) => object}} content `points` `[2n]`, both
   *   coordinates from 0 to 1; `kinds` `[n]` numbers in `palette`, a kind beyond it being grey;
   *   `shown` `[n]` 0 where a point is left out; `picture` gives one's `name` and `thumbnail`
   */
  show({ points, kinds = null, palette = [], shown = null, picture }) {
    if (this.#picture !== picture) this.#images.clear();
    this.#points = points;
    this.#kinds = kinds;
    this.#palette = palette;
    this.#shown = shown;
    this.#picture = picture;
    this.draw();
  }

  /** Ring these points. */
  select(indices) {
    this.#selected = new Set(indices);
    this.draw();
  }

  #place(i) {
    const { view } = this;
    const side = [view.width - 2 * MARGIN_PX, view.height - 2 * MARGIN_PX];
    return [
      (MARGIN_PX + this.#points[2 * i] * side[0]) * view.scale + view.x,
      (MARGIN_PX + this.#points[2 * i + 1] * side[1]) * view.scale + view.y,
    ];
  }

  #draw() {
    const { canvas, view } = this;
    const { width, height } = canvas;
    if (!width || !height) return;
    const context = canvas.getContext("2d");
    const dense = width / view.width;
    const seen = this.#paint(context, dense);
    context.setTransform(dense, 0, 0, dense, 0, 0);
    this.#deal(seen);
    // A point says nothing that its thumbnail does not, once all have one.
    if (this.#placed.length === seen.length && seen.length) context.clearRect(0, 0, view.width, view.height);
    for (const [i, left, top, w, h, image] of this.#placed) {
      const colour = this.#kinds && this.#palette[this.#kinds[i]];
      if (colour) {
        context.fillStyle = colour;
        context.fillRect(left - 2, top - 2, w + 4, h + 4);
      }
      context.drawImage(image, left, top, w, h);
    }
    context.lineWidth = 2;
    context.strokeStyle = variable("--accent");
    if (this.#selected.size <= 2 * THUMBNAILS) {
      for (const i of this.#selected) {
        if (this.#shown && !this.#shown[i]) continue;
        const at = this.#placed.find(([j]) => j === i);
        const [x, y] = this.#place(i);
        context.beginPath();
        if (at) context.rect(at[1], at[2], at[3], at[4]);
        else context.arc(x, y, 6, 0, 7);
        context.stroke();
      }
    }
    if (this.#frame) {
      const [x0, y0, x1, y1] = this.#frame;
      context.setLineDash([5, 4]);
      context.strokeRect(x0, y0, x1 - x0, y1 - y0);
      context.setLineDash([]);
    }
    context.setTransform(1, 0, 0, 1, 0, 0);
  }

  /** Paint every point that is in sight; returns those, up to a thumbnail's each. */
  #paint(context, dense) {
    const { view } = this;
    const { width, height } = context.canvas;
    const image = context.createImageData(width, height);
    const pixels = new Uint32Array(image.data.buffer);
    const colours = [...this.#palette, variable("--muted")].map((css) => {
      const [r, g, b] = channels(css);
      return (255 << 24) | (b << 16) | (g << 8) | r;
    });
    const other = colours.length - 1;
    const count = this.#points.length / 2;
    // The more there are in sight, the smaller.
    const radius = dense * Math.min(5, Math.max(1.3, (60 * Math.sqrt(view.scale)) / Math.sqrt(count || 1)));
    const stamp = [];
    const reach = Math.ceil(radius);
    for (let dy = -reach; dy <= reach; dy++) {
      for (let dx = -reach; dx <= reach; dx++) if (dx * dx + dy * dy <= radius * radius) stamp.push(dy * width + dx);
    }
    const [a, b] = [(view.width - 2 * MARGIN_PX) * view.scale * dense, (view.height - 2 * MARGIN_PX) * view.scale * dense];
    const x0 = (MARGIN_PX * view.scale + view.x) * dense;
    const y0 = (MARGIN_PX * view.scale + view.y) * dense;
    const seen = [];
    let inSight = 0;
    for (let i = 0; i < count; i++) {
      if (this.#shown && !this.#shown[i]) continue;
      const x = (x0 + a * this.#points[2 * i]) | 0;
      const y = (y0 + b * this.#points[2 * i + 1]) | 0;
      if (x < reach || y < reach || x >= width - reach || y >= height - reach) continue;
      const kind = this.#kinds ? this.#kinds[i] : other;
      const colour = colours[kind >= 0 && kind < other ? kind : other];
      const at = y * width + x;
      for (const offset of stamp) pixels[at + offset] = colour;
      inSight += 1;
      if (seen.length < 20 * THUMBNAILS) seen.push(i);
    }
    context.putImageData(image, 0, 0);
    return inSight <= 20 * THUMBNAILS ? seen : [];
  }

  /** Find thumbnails places near their points, none over another, as large as leaves room for all. */
  #deal(seen) {
    const { view } = this;
    this.#placed = [];
    if (seen.length === 0) return;
    const side = Math.min(96, Math.max(40, 0.75 * Math.sqrt((view.width * view.height) / seen.length)));
    const last = [view.width, view.height].map((length) => Math.floor((length * view.scale) / side - 0.5));
    const taken = new Set();
    for (const i of seen) {
      if (this.#placed.length === THUMBNAILS) break;
      const [x, y] = this.#place(i);
      // Cells move with the map, so that panning does not deal them anew.
      const cell = freeCell(Math.round((x - view.x) / side), Math.round((y - view.y) / side), last, taken);
      const image = cell && this.#image(i);
      if (!image) continue;
      taken.add(cell.join());
      const shrink = (side - 6) / Math.max(image.naturalWidth, image.naturalHeight);
      const [w, h] = [image.naturalWidth * shrink, image.naturalHeight * shrink];
      this.#placed.push([i, cell[0] * side + view.x - w / 2, cell[1] * side + view.y - h / 2, w, h, image]);
    }
  }

  /** A point's thumbnail once it is there; asks for it where it is not. */
  #image(i) {
    let image = this.#images.get(i);
    const { thumbnail } = this.#picture(i);
    if (!image || image.from !== thumbnail) {
      if (!thumbnail) return null;
      image = new Image();
      image.from = thumbnail;
      image.decoding = "async";
      image.onload = this.draw;
      image.src = thumbnail;
      this.#images.set(i, image);
      if (this.#images.size > KEPT) this.#images.delete(this.#images.keys().next().value);
    }
    return image.complete && image.naturalWidth ? image : null;
  }

  #hover(detail) {
    const found = detail ? this.#at(detail.x, detail.y) : -1;
    this.canvas.style.cursor = found < 0 ? "" : "pointer";
    if (found < 0) this.tip.hide();
    else this.tip.show("", [this.#picture(found)], detail);
  }

  /** The point at a place: whose thumbnail lies there, or the nearest; -1 for none. */
  #at(x, y) {
    for (const [i, left, top, w, h] of this.#placed) {
      if (x >= left && x <= left + w && y >= top && y <= top + h) return i;
    }
    let [best, nearest] = [NEAR_PX ** 2, -1];
    for (let i = 0; i < this.#points.length / 2; i++) {
      if (this.#shown && !this.#shown[i]) continue;
      const [px, py] = this.#place(i);
      const distance = (px - x) ** 2 + (py - y) ** 2;
      if (distance < best) [best, nearest] = [distance, i];
    }
    return nearest;
  }

  #within([x0, y0, x1, y1]) {
    const found = [];
    for (let i = 0; i < this.#points.length / 2; i++) {
      if (this.#shown && !this.#shown[i]) continue;
      const [x, y] = this.#place(i);
      if (x >= Math.min(x0, x1) && x <= Math.max(x0, x1) && y >= Math.min(y0, y1) && y <= Math.max(y0, y1)) found.push(i);
    }
    return found;
  }
}

/** The nearest cell on the map that is not taken, at most three away; null where there is none. */
function freeCell(column, row, last, taken) {
  for (const [dx, dy] of NEAR_CELLS) {
    const [x, y] = [column + dx, row + dy];
    if (x >= 1 && y >= 1 && x <= last[0] && y <= last[1] && !taken.has(`${x},${y}`)) return [x, y];
  }
  return null;
}
