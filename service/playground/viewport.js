// A canvas that is moved and zoomed by mouse, touch and keys. What is drawn on it is another's work.

const CLICK_PX = 5;
const STEP_PX = 60;
const LINE_PX = 16;

/**
 * Events: "change" when it has to be drawn anew, "hover" and "press" with `detail: {x, y, event}` in
 * pixels of the canvas (hover's detail is null when the pointer leaves), "frame" with a rectangle
 * `[x0, y0, x1, y1]` that was drawn while shift was held.
 */
export class Viewport extends EventTarget {
  scale = 1;
  x = 0;
  y = 0;
  #pointers = new Map();
  #from = null;
  #moved = 0;
  #bounds;

  /**
   * @param {HTMLCanvasElement} canvas
   * @param {{most: number, wheel: "always" | "ctrl", frames: boolean, margin: number}} options
   *   `most` is the largest scale, 1 showing all; `wheel` whether it zooms without ctrl, which a
   *   page that scrolls needs for itself; `frames` whether shift draws rectangles
   */
  constructor(canvas, { most, wheel = "always", frames = false, keys = true, bounds = 1 }) {
    super();
    this.canvas = canvas;
    this.most = most;
    this.frames = frames;
    this.#bounds = bounds;
    canvas.addEventListener("wheel", (event) => this.#wheel(event, wheel), { passive: false });
    canvas.addEventListener("pointerdown", (event) => this.#down(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    for (const type of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(type, (event) => this.#up(event));
    }
    canvas.addEventListener("pointerleave", () => this.#tell("hover", null));
    canvas.addEventListener("dblclick", (event) => this.zoom(2, ...this.#place(event)));
    if (keys) canvas.addEventListener("keydown", (event) => this.#key(event));
    new ResizeObserver(() => this.#resize()).observe(canvas);
  }

  get width() {
    return this.canvas.clientWidth;
  }

  get height() {
    return this.canvas.clientHeight;
  }

  /** Make `factor` times larger what is seen, about a place on the canvas. */
  zoom(factor, x = this.width / 2, y = this.height / 2) {
    const scale = Math.min(this.most, Math.max(1, this.scale * factor));
    const real = scale / this.scale;
    this.x = x - (x - this.x) * real;
    this.y = y - (y - this.y) * real;
    this.scale = scale;
    this.#settle();
  }

  /** Show all. */
  fit() {
    Object.assign(this, { scale: 1, x: 0, y: 0 });
    this.#tell("change");
  }

  pan(dx, dy) {
    this.x += dx;
    this.y += dy;
    this.#settle();
  }

  /** Buttons that zoom, for those without a wheel. */
  buttons() {
    const box = document.createElement("div");
    box.className = "zoom";
    const actions = [["+", "Zoom in", () => this.zoom(1.6)], ["−", "Zoom out", () => this.zoom(1 / 1.6)],
      ["⤢", "Show all", () => this.fit()]];
    for (const [text, label, press] of actions) {
      const button = document.createElement("button");
      Object.assign(button, { type: "button", textContent: text, title: label });
      button.setAttribute("aria-label", label);
      button.addEventListener("click", press);
      box.append(button);
    }
    return box;
  }

  /** Keep some of what there is in sight. */
  #settle() {
    const slack = this.#bounds;
    const [w, h] = [this.width, this.height];
    this.x = Math.min(w * (1 - slack), Math.max(w * slack - w * this.scale, this.x));
    this.y = Math.min(h * (1 - slack), Math.max(h * slack - h * this.scale, this.y));
    this.#tell("change");
  }

  #resize() {
    const dense = devicePixelRatio || 1;
    this.canvas.width = Math.round(this.width * dense);
    this.canvas.height = Math.round(this.height * dense);
    this.#tell("change");
  }

  #wheel(event, wheel) {
    if (wheel === "ctrl" && !event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    const lines = event.deltaMode === 1 ? LINE_PX : 1;
    const pinch = event.ctrlKey ? 4 : 1;
    this.zoom(Math.exp((-event.deltaY * lines * pinch) / 500), ...this.#place(event));
  }

  #down(event) {
    if (event.button !== 0) return;
    this.canvas.setPointerCapture(event.pointerId);
    this.#pointers.set(event.pointerId, this.#place(event));
    this.#from = this.#place(event);
    this.#moved = 0;
  }

  #move(event) {
    const [x, y] = this.#place(event);
    const before = this.#pointers.get(event.pointerId);
    if (!before) {
      this.#tell("hover", { x, y, event });
      return;
    }
    const others = [...this.#pointers].filter(([id]) => id !== event.pointerId).map(([, at]) => at);
    this.#pointers.set(event.pointerId, [x, y]);
    this.#moved += Math.abs(x - before[0]) + Math.abs(y - before[1]);
    if (this.#moved < CLICK_PX) return;
    if (others.length) {
      const [[ox, oy]] = others;
      const far = (at) => Math.hypot(at[0] - ox, at[1] - oy) || 1;
      this.zoom(far([x, y]) / far(before), (x + ox) / 2, (y + oy) / 2);
      this.pan((x - before[0]) / 2, (y - before[1]) / 2);
    } else if (this.frames && event.shiftKey) {
      this.#tell("framing", [...this.#from, x, y]);
    } else {
      this.#tell("hover", null);
      this.pan(x - before[0], y - before[1]);
    }
  }

  #up(event) {
    if (!this.#pointers.delete(event.pointerId) || event.type === "pointercancel") return;
    const [x, y] = this.#place(event);
    if (this.#moved < CLICK_PX) this.#tell("press", { x, y, event });
    else if (this.frames && event.shiftKey) this.#tell("frame", [...this.#from, x, y]);
  }

  #key(event) {
    const actions = {
      ArrowLeft: () => this.pan(STEP_PX, 0), ArrowRight: () => this.pan(-STEP_PX, 0),
      ArrowUp: () => this.pan(0, STEP_PX), ArrowDown: () => this.pan(0, -STEP_PX),
      "+": () => this.zoom(1.6), "=": () => this.zoom(1.6), "-": () => this.zoom(1 / 1.6), 0: () => this.fit(),
    };
    const action = actions[event.key];
    if (!action || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    action();
  }

  #place(event) {
    const box = this.canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

/** Calls `draw` once before the next frame, however often it is asked to. */
export function oncePerFrame(draw) {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      draw();
    });
  };
}
