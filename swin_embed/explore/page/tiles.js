import { cosine } from "../playground/cosine.js";
import { view } from "../playground/thumbnail.js";

const PAGE = 200;

/**
 * Images as a grid; more are added as one scrolls.
 *
 * @param {{number: number, value?: number, label?: string, mark?: string}[]} entries `value` is a
 *   cosine to be shown
 * @param {{image: (n: number) => object, selected: Set<number>, open: (n: number, order: number[]) => void,
 *   select: (n: number, on: boolean, event: Event) => void}} actions
 */
export function tiles(entries, actions) {
  const list = document.createElement("ul");
  list.className = "tiles";
  const order = entries.map(({ number }) => number);
  let shown = 0;
  const more = () => {
    const next = entries.slice(shown, shown + PAGE);
    list.append(...next.map((entry) => tile(entry, order, actions)));
    shown += next.length;
    if (shown === entries.length) watcher.disconnect();
    else {
      watcher.disconnect();
      watcher.observe(list.lastElementChild);
    }
  };
  const watcher = new IntersectionObserver((seen) => seen.some((it) => it.isIntersecting) && more(), {
    rootMargin: "600px",
  });
  if (entries.length) more();
  return list;
}

function tile({ number, value, label, mark }, order, { image, selected, open, select }) {
  const picture = image(number);
  const item = document.createElement("li");
  item.className = `tile ${mark ?? ""}`;
  item.dataset.number = number;
  item.title = picture.path;
  const button = Object.assign(document.createElement("button"), { type: "button" });
  button.setAttribute("aria-label", `Open ${picture.name}`);
  const shown = view(picture);
  shown.addEventListener("error", () => shown.replaceWith(view({ name: picture.name, thumbnail: null })));
  button.append(shown);
  button.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) box.click();
    else open(number, order);
  });
  const name = Object.assign(document.createElement("span"), { className: "name", textContent: picture.name });
  const box = Object.assign(document.createElement("input"), { type: "checkbox", checked: selected.has(number) });
  box.setAttribute("aria-label", `Select ${picture.name}`);
  box.addEventListener("change", (event) => select(number, box.checked, event));
  item.append(button, name, box);
  const text = label ?? (value === undefined ? "" : cosine(value));
  if (text) item.append(Object.assign(document.createElement("span"), { className: "likeness", textContent: text }));
  return item;
}
