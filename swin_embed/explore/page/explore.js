// Joins the collection, the filters and the views.

import { cosine } from "../playground/cosine.js";
import { listen } from "../playground/intake.js";
import { ImageMap } from "../playground/map.js";
import { Viewer } from "../playground/viewer.js";
import { colouring } from "./colouring.js";
import { answer, Collection, json } from "./images.js";
import { Selection } from "./selection.js";
import { tiles } from "./tiles.js";
import { empty, Views } from "./views.js";

const part = (id) => document.getElementById(id);
const collection = new Collection();
const viewer = new Viewer();
const selection = new Selection(draw, complain);
const map = new ImageMap(part("map"), {
  label: "Map of the images: alike ones are near each other. The view Images lists the same.",
  wheel: "always",
  onOpen: (i) => open(i, [i]),
  onFrame: (found) => selection.addAll(found),
});
const actions = {
  image: (number) => collection.image(number),
  selected: selection.numbers,
  open,
  select: (number, on, event) => selection.set(number, on, event),
  selectAll: (numbers) => selection.addAll(numbers),
  redraw: draw,
  wait: (text) => part("content").replaceChildren(empty(text)),
  showCluster: (i) => {
    part("cluster").value = String(i);
    go("images");
  },
};
const views = new Views(collection, viewer, actions);

/** What was searched for: `{name, thumbnail, hits: [number, cosine][]}`, or null. */
let near = null;
let points = null;
let opened = null;
/** Told apart, so that what arrives late does not replace a newer view. */
let drawing = 0;

start();

async function start() {
  if (innerWidth < 768) part("side").open = false;
  await collection.load();
  const { table } = collection;
  document.title = `${table.name} · swin-embed explore`;
  const without = table.errors.length ? `, ${table.errors.length.toLocaleString("en")} without a vector` : "";
  part("about").textContent = `${table.vectors.toLocaleString("en")} images${without}; ${table.model}`;
  part("about").title = table.name;
  options("folder", table.folders);
  options("type", table.types);
  for (const id of ["text", "folder", "type", "cluster", "from", "to"]) part(id).addEventListener("input", draw);
  part("colour").addEventListener("input", draw);
  part("views").addEventListener("change", draw);
  part("far").addEventListener("click", endSearch);
  part("reset").addEventListener("click", reset);
  part("select-shown").addEventListener("click", () => selection.addAll(entries().map(({ number }) => number)));
  listen(([file]) => searchFor(file), "Drop an image to find what is like it");
  addEventListener("keydown", key);
  if (table.vectors) points = await array("pca", Float32Array);
  draw();
  follow();
  await collection.loadFiles();
  const bad = table.errors.length + collection.missing.size;
  part("error-count").textContent = bad ? bad.toLocaleString("en") : "";
  draw();
}

/** Take in what the server computes, as it comes. */
async function follow() {
  let there = [];
  for (;;) {
    const state = await json("api/state");
    if (state.there.includes("clusters") && !there.includes("clusters")) {
      collection.clusters = await array("clusters", Int32Array);
      const count = collection.clusters.reduce((most, kind) => Math.max(most, kind), 0) + 1;
      options("cluster", Array.from({ length: count }, (_, i) => `Cluster ${i + 1}`));
    }
    if (state.there.includes("map") && !there.includes("map")) {
      points = await array("map", Float32Array);
      map.view.fit();
    }
    part("progress").textContent = state.running
      ? "Arranging the map" + (state.there.includes("clusters") ? "" : " and clusters") + "…"
      : "";
    if (state.trouble) complain(state.trouble);
    if (state.there.length !== there.length) draw();
    there = state.there;
    if (!state.running) return;
    await new Promise((resume) => setTimeout(resume, 1000));
  }
}

async function array(name, Kind) {
  return new Kind(await (await answer(`api/arrays/${name}`)).arrayBuffer());
}

function options(id, labels) {
  const all = Object.assign(document.createElement("option"), { value: "", textContent: "All" });
  const others = labels.map((label, i) => Object.assign(document.createElement("option"), { value: String(i), textContent: label }));
  part(id).replaceChildren(all, ...others);
}

/** Of every image, 1 where the filters leave it. */
function shownMask() {
  const { table, files, clusters } = collection;
  const text = part("text").value.trim().toLowerCase();
  const [folder, type, cluster] = ["folder", "type", "cluster"].map((id) => part(id).value);
  const from = part("from").value ? Date.parse(part("from").value) / 1000 : -Infinity;
  const to = part("to").value ? Date.parse(part("to").value) / 1000 + 86400 : Infinity;
  const dated = part("from").value || part("to").value;
  const inFolder = text ? table.folders.map((name) => name.toLowerCase()) : [];
  const mask = new Uint8Array(table.names.length);
  for (let i = 0; i < mask.length; i++) {
    if (folder && table.folder[i] !== Number(folder)) continue;
    if (type && table.type[i] !== Number(type)) continue;
    if (cluster && clusters?.[i] !== Number(cluster)) continue;
    if (dated && !(files.changed[i] >= from && files.changed[i] < to)) continue;
    if (text && !`${inFolder[table.folder[i]]}/${table.names[i].toLowerCase()}`.includes(text)) continue;
    mask[i] = 1;
  }
  return mask;
}

/** The images to list: what the filters leave, or of what was searched for the nearest first. */
function entries(mask = shownMask()) {
  if (near) return near.hits.filter(([number]) => mask[number]).map(([number, value]) => ({ number, value }));
  const found = [];
  for (let number = 0; number < collection.table.vectors; number++) if (mask[number]) found.push({ number });
  return found;
}

async function draw() {
  const mine = ++drawing;
  const view = currentView();
  const mask = shownMask();
  const list = entries(mask);
  const { colours, legend } = colour();
  part("map").hidden = view !== "map";
  part("content").hidden = view === "map";
  part("near").hidden = near === null;
  const total = collection.table.vectors.toLocaleString("en");
  part("status").textContent = `${list.length.toLocaleString("en")} of ${total} images`;
  part("key").replaceChildren(...legend);
  if (view === "map") {
    if (near) {
      mask.fill(0);
      for (const { number } of list) mask[number] = 1;
    }
    if (points) map.show({ points, shown: mask, picture: actions.image, ...colours });
    map.select(selection.numbers);
    return;
  }
  const content = await shownIn(view, mask, list).catch((error) => [empty(error.message)]);
  if (mine === drawing) part("content").replaceChildren(...content);
}

/** The elements of a view; what it shows may have to be asked for first. */
async function shownIn(view, mask, list) {
  return view === "images" ? views.images(list) : views[view](mask);
}

function currentView() {
  return document.querySelector("#views input:checked").value;
}

function colour() {
  const { kinds, palette, labels } = colouring(collection, part("colour").value);
  const legend = labels.map((label, i) => {
    const item = document.createElement("li");
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    const dot = document.createElementNS("http://www.w3.org/2000/svg", "circle");
    for (const [name, value] of Object.entries({ cx: "50%", cy: "50%", r: "50%", fill: palette[i] })) dot.setAttribute(name, value);
    svg.append(dot);
    item.append(svg, label);
    item.title = label;
    return item;
  });
  return { colours: { kinds, palette }, legend };
}

/** An image large, with what is known of it and what is like it. */
async function open(number, order) {
  const image = collection.image(number);
  opened = number;
  const facts = document.createElement("dl");
  facts.className = "facts";
  for (const [name, value] of image.facts) {
    facts.append(Object.assign(document.createElement("dt"), { textContent: name }),
      Object.assign(document.createElement("dd"), { textContent: value }));
  }
  const buttons = document.createElement("div");
  buttons.className = "buttons small";
  const more = Object.assign(document.createElement("button"), { type: "button", className: "like", textContent: "More like this" });
  more.addEventListener("click", () => moreLike(number));
  const choose = Object.assign(document.createElement("button"), { type: "button", textContent: selection.numbers.has(number) ? "Deselect" : "Select" });
  choose.addEventListener("click", () => {
    selection.set(number, !selection.numbers.has(number));
    choose.textContent = selection.numbers.has(number) ? "Deselect" : "Select";
    draw();
  });
  buttons.append(more, choose);
  const likes = document.createElement("div");
  const step = order.length > 1
    ? (by) => open(order.at((order.indexOf(number) + by) % order.length), order)
    : null;
  viewer.show([image], { body: [facts, buttons, likes], step });
  const hits = (await json(`api/like/${number}`)).filter(([other]) => other !== number).slice(0, 6);
  const list = hits.map(([other, value]) => ({ number: other, value }));
  const side = (other) => viewer.show([image, collection.image(other)], {
    line: `${cosine(hits.find(([n]) => n === other)[1], 4)} cosine similarity`,
  });
  likes.append(Object.assign(document.createElement("h3"), { textContent: "Most alike" }), tiles(list, { ...actions, open: side }));
}

async function moreLike(number) {
  const image = collection.image(number);
  await searching(image.name, image.thumbnail, () => json(`api/like/${number}`));
}

async function searchFor(file) {
  if (near?.url) URL.revokeObjectURL(near.url);
  const url = URL.createObjectURL(file);
  await searching(file.name, url, () => json("api/search", { method: "POST", body: file }));
}

async function searching(name, thumbnail, ask) {
  viewer.close();
  part("progress").textContent = "Searching…";
  try {
    near = { name, url: thumbnail?.startsWith("blob:") ? thumbnail : null, hits: await ask() };
    part("trouble").hidden = true;
  } catch (error) {
    complain(error.message);
    return;
  } finally {
    part("progress").textContent = "";
  }
  part("near-name").textContent = `Most like ${name} first`;
  part("near-image").hidden = !thumbnail;
  if (thumbnail) part("near-image").src = thumbnail;
  if (currentView() !== "map") go("images");
  else draw();
}

function endSearch() {
  near = null;
  draw();
}

function reset() {
  for (const id of ["text", "folder", "type", "cluster", "from", "to"]) part(id).value = "";
  endSearch();
}

function go(view) {
  document.querySelector(`#views [value=${view}]`).checked = true;
  draw();
}

function complain(text) {
  part("trouble").hidden = false;
  part("trouble").textContent = text;
}

function key(event) {
  if (event.target.matches("input:not([type=radio], [type=checkbox]), select, textarea") || event.ctrlKey || event.metaKey || event.altKey) return;
  const focused = document.activeElement.closest(".tile");
  const views = [...document.querySelectorAll("#views input")];
  const moves = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns(focused), ArrowDown: columns(focused) };
  if (views[event.key - 1] && !viewer.open) go(views[event.key - 1].value);
  else if (event.key === "/" && !viewer.open) part("text").focus();
  else if (event.key === "Escape" && !viewer.open && near) endSearch();
  else if (event.key.toLowerCase() === "m" && viewer.open) moreLike(opened);
  else if (event.key.toLowerCase() === "m" && focused) moreLike(Number(focused.dataset.number));
  else if (event.key === " " && focused) focused.querySelector("input").click();
  else if (focused && moves[event.key]) {
    const all = [...focused.parentElement.children];
    all[all.indexOf(focused) + moves[event.key]]?.querySelector("button").focus();
  } else return;
  event.preventDefault();
}

/** How many tiles stand beside each other. */
function columns(tile) {
  if (!tile) return 0;
  const all = [...tile.parentElement.children];
  const next = all.findIndex((other) => other.offsetTop > all[0].offsetTop);
  return next < 0 ? all.length : next;
}
