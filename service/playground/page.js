// Joins what comes in, what becomes of it, and what is seen.

import { Album } from "./album.js";
import { Card } from "./card.js";
import { Client, Refusal } from "./client.js";
import { Comparison, TABLE } from "./comparison.js";
import { cosine } from "./cosine.js";
import { downloadAllJson, downloadAllNpy } from "./downloads.js";
import { drawExamples } from "./examples.js";
import { listen } from "./intake.js";
import { Snippets } from "./snippets.js";
import { largestMagnitude } from "./strip.js";
import { totalMs } from "./timings.js";
import { sideBySide } from "./vectors.js";
import { Viewer } from "./viewer.js";
import { oncePerFrame } from "./viewport.js";

const part = (id) => document.getElementById(id);
const client = new Client(document.baseURI);
const album = new Album(client);
const snippets = new Snippets(client);
const cards = new Map();
const viewer = new Viewer();
const actions = { open: enlarge, compare, like: sortByLikeness };
const comparison = new Comparison(actions);
/** The picture whose likes come first, if one was chosen. */
let liked = null;
/** Whether somebody said whether to sort; many images are sorted unless they did. */
let sortChosen = false;
/** The picture that was enlarged last. */
let enlarged = null;

listen((files) => album.add(files), "Drop images to add them");
part("examples").addEventListener("click", async () => album.add(await drawExamples()));
part("clear").addEventListener("click", () => {
  album.clear();
  part("choose").focus();
});
part("sort").addEventListener("change", () => {
  sortChosen = true;
  sortByLikeness(null);
});
part("unlike").addEventListener("click", () => sortByLikeness(null));
part("all-npy").addEventListener("click", () => downloadAllNpy(album.embedded));
part("all-json").addEventListener("click", () => downloadAllJson(album.embedded, album.model));
part("key").addEventListener("submit", (event) => {
  event.preventDefault();
  client.key = part("key-field").value.trim();
  part("key").hidden = true;
  snippets.update();
  describeModel();
  album.retry();
});
const drawSoon = oncePerFrame(draw); // however many changes there are
album.addEventListener("change", drawSoon);
describeModel();

function draw() {
  const { pictures, embedded } = album;
  document.body.classList.toggle("filled", pictures.length > 0);
  part("clear").hidden = part("results").hidden = pictures.length === 0;
  part("all").hidden = embedded.length < 2;
  announce(summary(pictures, embedded));
  if (pictures.some((picture) => picture.error?.needsKey)) askForKey();
  if (!sortChosen) part("sort").checked = pictures.length > TABLE;
  if (!embedded.includes(liked)) liked = null;
  if (viewer.open && !pictures.includes(enlarged)) viewer.close();
  part("liked").hidden = liked === null;
  part("liked-name").textContent = liked ? `Most like ${liked.name} first` : "";
  const state = comparisonOf(embedded);
  const order = ordered(embedded, state);
  const shown = [...order, ...pictures.filter((picture) => !embedded.includes(picture))];
  drawCards(part("sort").checked || liked ? shown : pictures, scaleOf(embedded, state));
  comparison.draw(order, `${state} ${part("sort").checked} ${liked?.id}`, album.settled);
}

/** The embedded images as they are to be shown; the same array for the same question. */
function ordered(embedded, state) {
  const sorted = part("sort").checked;
  const question = `${state} ${sorted} ${liked?.id}`;
  if (ordered.question !== question) {
    ordered.question = question;
    ordered.answer = embedded;
    if (liked) ordered.answer = embedded.toSorted((a, b) => liked.similarity(b) - liked.similarity(a));
    else if (sorted) ordered.answer = sideBySide(embedded);
  }
  return ordered.answer;
}

function scaleOf(embedded, comparison) {
  return {
    embedded,
    comparison,
    largest: largestMagnitude(embedded.map((picture) => picture.vector)),
    longestMs: Math.max(...embedded.map(totalMs)),
    dense: album.pictures.length > TABLE,
    like: liked,
  };
}

function drawCards(shown, scale) {
  for (const [picture, card] of cards) {
    if (shown.includes(picture)) continue;
    card.element.remove();
    cards.delete(picture);
  }
  part("cards").classList.toggle("dense", scale.dense);
  shown.forEach((picture, i) => {
    if (!cards.has(picture)) cards.set(picture, new Card(picture, album, actions));
    const { element } = cards.get(picture);
    const there = part("cards").children[i];
    if (there !== element) part("cards").insertBefore(element, there ?? null);
    cards.get(picture).update(scale);
  });
}

function sortByLikeness(picture) {
  viewer.close();
  liked = picture;
  draw();
  if (picture) part("images-title").scrollIntoView({ block: "nearest" });
}

/** A picture large, with all that its card says. */
function enlarge(picture) {
  const { embedded } = album;
  enlarged = picture;
  const card = new Card(picture, album, actions);
  card.element.classList.add("whole");
  card.update({ ...scaleOf(embedded, comparisonOf(embedded)), dense: false });
  const shown = [...part("cards").children].map((element) =>
    [...cards].find(([, { element: other }]) => other === element)[0]);
  const step = (by) => enlarge(shown.at((shown.indexOf(picture) + by) % shown.length));
  viewer.show([picture], { body: [card.element], step });
}

function compare(a, b) {
  if (a === b) enlarge(a);
  else viewer.show([a, b], { line: `${cosine(a.similarity(b), 4)} cosine similarity` });
}

/** Another text whenever the images to compare are others, or are shown by other thumbnails. */
function comparisonOf(embedded) {
  return embedded.map((picture) => `${picture.id} ${picture.thumbnail}`).join();
}

/** Say how it stands; only news, or screen readers would repeat it with each drawing. */
function announce(text) {
  if (part("status").textContent !== text) part("status").textContent = text;
}

function summary(pictures, embedded) {
  if (pictures.length === 0) return "";
  const failed = pictures.filter((picture) => picture.state === "failed").length;
  const of = embedded.length < pictures.length ? ` of ${pictures.length}` : "";
  const images = pictures.length === 1 ? "image" : "images";
  return `${embedded.length}${of} ${images} embedded${failed ? `, ${failed} failed` : ""}`;
}

async function describeModel() {
  try {
    const model = await client.model();
    const { id, dimensions, card } = model;
    part("model").textContent = `${id}, ${dimensions} dimensions, ${card.precision}`;
    part("untrained").hidden = model.pretrained;
    snippets.update({ model: id, dimensions });
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    if (error.needsKey) askForKey();
    else part("model").textContent = error.message;
  }
}

function askForKey() {
  part("key").hidden = false;
  part("key-refused").hidden = client.key === "";
}
