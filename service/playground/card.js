import { copy } from "./clipboard.js";
import { cosine } from "./cosine.js";
import { downloadJson, downloadNpy } from "./downloads.js";
import { strip } from "./strip.js";
import { view } from "./thumbnail.js";
import { bar } from "./timings.js";
import { nearest } from "./vectors.js";

const NEIGHBOURS = 3;

/** An image's place on the page: what it is, what became of it, and what one can do with it. */
export class Card {
  #part;
  #drawn = new Map();

  /**
   * @param {{open: (picture) => void, compare: (a, b) => void, like: (picture) => void}} actions
   */
  constructor(picture, album, actions) {
    this.picture = picture;
    this.album = album;
    this.actions = actions;
    const { content } = document.getElementById("card");
    this.element = content.firstElementChild.cloneNode(true);
    this.#part = (name) => this.element.querySelector(`.${name}`);
    this.#part("name").textContent = picture.name;
    this.#part("name").title = picture.name;
    this.#button("picture", `Enlarge ${picture.name}`, () => actions.open(picture));
    this.#button("remove", `Remove ${picture.name}`, () => this.#remove());
    this.#button("again", `Try ${picture.name} again`, () => album.retry([picture]));
    this.#button("like", `Sort by likeness to ${picture.name}`, () => actions.like(picture));
    this.#button("copy", `Copy the vector of ${picture.name}`, (button) => {
      copy(JSON.stringify(picture.vector), button);
    });
    this.#button("npy", `Download the vector of ${picture.name} as .npy`, () => downloadNpy(picture));
    this.#button("json", `Download the vector of ${picture.name} as JSON`, () => {
      downloadJson(picture, album.model);
    });
  }

  /**
   * @param {{embedded: Picture[], comparison: string, largest: number, longestMs: number,
   *   dense: boolean, like: Picture | null}} scale of the whole album; `comparison` changes whenever
   *   the neighbours may; a dense card shows no more than the picture, its name and how alike it is
   */
  update({ embedded, comparison, largest, longestMs, dense, like }) {
    const { picture } = this;
    const done = picture.state === "embedded";
    this.element.dataset.state = picture.state;
    this.#part("again").hidden = !picture.error?.mayPass;
    this.#part("result").hidden = !done || dense;
    this.#draw("picture", picture.thumbnail, () => [view(picture)]);
    this.#draw("meta", picture.size, () => [facts(picture)]);
    this.#draw("state", `${picture.state} ${picture.waitS} ${picture.error?.message}`, () => stateOf(picture));
    this.#draw("likeness", `${like?.id} ${done}`, () => (like && done && like !== picture ? [cosine(picture.similarity(like))] : []));
    if (dense) return;
    this.#draw("timings", done && longestMs, () => (done ? bar(picture, longestMs) : []));
    if (!done) return;
    this.#draw("strip", largest, () => [strip(picture.vector, largest)]);
    this.#draw("neighbours", comparison, () =>
      nearest(picture, embedded, NEIGHBOURS).map((other) => this.#neighbour(other)),
    );
    this.#part("nearest").hidden = embedded.length < 2;
  }

  /** Replace what a part shows if `state`, which it depends on, is another than last time. */
  #draw(name, state, content) {
    if (this.#drawn.has(name) && this.#drawn.get(name) === state) return;
    this.#drawn.set(name, state);
    this.#part(name).replaceChildren(...content());
  }

  #button(name, label, press) {
    const button = this.#part(name);
    button.setAttribute("aria-label", label);
    button.title = label;
    button.addEventListener("click", () => press(button));
  }

  #neighbour(other) {
    const { picture } = this;
    const item = document.createElement("li");
    item.title = other.name;
    const button = Object.assign(document.createElement("button"), { type: "button" });
    button.setAttribute("aria-label", `Compare with ${other.name}`);
    button.addEventListener("click", () => this.actions.compare(picture, other));
    button.append(view(other, other.name));
    const value = Object.assign(document.createElement("b"), { textContent: cosine(picture.similarity(other)) });
    item.append(button, value);
    return item;
  }

  /** Focus goes to the card that takes this one's place, not back to the top of the page. */
  #remove() {
    const next = this.element.nextElementSibling ?? this.element.previousElementSibling;
    const target = next?.querySelector(".remove") ?? document.getElementById("choose");
    this.album.remove(this.picture);
    target.focus();
  }
}

function facts({ file, size }) {
  const weight = file.size < 1e6 ? `${Math.ceil(file.size / 1e3)} kB` : `${(file.size / 1e6).toFixed(1)} MB`;
  return size ? `${size.width} × ${size.height}, ${weight}` : weight;
}

function stateOf({ state, waitS, error }) {
  if (state === "waiting") return ["Waiting"];
  if (state === "embedding") return [waitS ? `The service is busy; asking again in ${waitS} s` : "Embedding"];
  if (state === "embedded") return [];
  const code = Object.assign(document.createElement("code"), { textContent: error.code });
  const message = Object.assign(document.createElement("span"), { textContent: error.message });
  if (!error.requestId) return [code, message];
  const request = Object.assign(document.createElement("small"), {
    textContent: `request ${error.requestId}`,
  });
  return [code, message, request];
}
