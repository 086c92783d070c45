// Joins what comes in, what becomes of it, and what is seen.

import { Album } from "./album.js";
import { Card } from "./card.js";
import { Client, Refusal } from "./client.js";
import { downloadAllJson, downloadAllNpy } from "./downloads.js";
import { drawExamples } from "./examples.js";
import { heatmap } from "./heatmap.js";
import { listen } from "./intake.js";
import { Snippets } from "./snippets.js";
import { largestMagnitude } from "./strip.js";
import { totalMs } from "./timings.js";

const part = (id) => document.getElementById(id);
const client = new Client(document.baseURI);
const album = new Album(client);
const snippets = new Snippets(client);
const cards = new Map();
let drawnComparison = null;

listen((files) => album.add(files));
part("examples").addEventListener("click", async () => album.add(await drawExamples()));
part("clear").addEventListener("click", () => {
  album.clear();
  part("choose").focus();
});
part("sort").addEventListener("change", draw);
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
album.addEventListener("change", drawSoon);
describeModel();

/** However many changes there are, the page is drawn once a frame. */
function drawSoon() {
  if (drawSoon.asked) return;
  drawSoon.asked = true;
  requestAnimationFrame(() => {
    drawSoon.asked = false;
    draw();
  });
}

function draw() {
  const { pictures, embedded } = album;
  document.body.classList.toggle("filled", pictures.length > 0);
  part("clear").hidden = part("results").hidden = pictures.length === 0;
  part("all").hidden = embedded.length < 2;
  announce(summary(pictures, embedded));
  if (pictures.some((picture) => picture.error?.needsKey)) askForKey();
  drawCards(pictures, embedded);
  drawTable(embedded);
}

function drawCards(pictures, embedded) {
  for (const [picture, card] of cards) {
    if (pictures.includes(picture)) continue;
    card.element.remove();
    cards.delete(picture);
  }
  const scale = {
    embedded,
    comparison: comparisonOf(embedded),
    largest: largestMagnitude(embedded.map((picture) => picture.vector)),
    longestMs: Math.max(...embedded.map(totalMs)),
  };
  for (const picture of pictures) {
    if (!cards.has(picture)) {
      cards.set(picture, new Card(picture, album));
      part("cards").append(cards.get(picture).element);
    }
    cards.get(picture).update(scale);
  }
}

function drawTable(embedded) {
  const sorted = part("sort").checked;
  const comparison = `${sorted} ${comparisonOf(embedded)}`;
  if (comparison === drawnComparison) return;
  drawnComparison = comparison;
  if (embedded.length < 2) {
    part("heatmap").textContent = "Two images or more can be compared.";
  } else {
    part("heatmap").replaceChildren(...heatmap(embedded, sorted));
  }
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
