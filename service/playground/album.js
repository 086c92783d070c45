// The images on the page and what became of each. No DOM in it: views listen to its "change" event.

import { Refusal } from "./client.js";
import { Pool } from "./pool.js";
import { thumbnail } from "./thumbnail.js";
import { dot } from "./vectors.js";

const AT_ONCE = 4;

/** An image: `state` is waiting, embedding, embedded or failed. */
class Picture {
  state = "waiting";
  /** Seconds until the service is asked again, while it is busy. */
  waitS = null;
  /** Of unit length, once embedded. */
  vector = null;
  timing = null;
  tookMs = null;
  error = null;
  /** A small copy's URL, null where the browser can't show the format; undefined until known. */
  thumbnail = undefined;
  size = null;
  stop = new AbortController();

  constructor(id, file, name) {
    this.id = id;
    this.file = file;
    this.name = name;
  }

  /** The cosine with another embedded image. */
  similarity(other) {
    return dot(this.vector, other.vector);
  }

  /** A URL of the whole image, to be revoked by who asked for it. */
  original() {
    return URL.createObjectURL(this.file);
  }
}

export class Album extends EventTarget {
  pictures = [];
  model = null;
  #client;
  #pool = new Pool(AT_ONCE);
  #count = 0;

  constructor(client) {
    super();
    this.#client = client;
  }

  /** Whether every image is embedded or failed. */
  get settled() {
    return this.pictures.every(({ state }) => state === "embedded" || state === "failed");
  }

  get embedded() {
    return this.pictures.filter((picture) => picture.state === "embedded");
  }

  /** @param {Iterable<File>} files */
  add(files) {
    for (const file of files) {
      const picture = new Picture(this.#count++, file, this.#unusedName(file.name));
      this.pictures.push(picture);
      this.#show(picture);
      this.#embed(picture);
    }
    this.#changed();
  }

  remove(picture) {
    picture.stop.abort();
    if (picture.thumbnail) URL.revokeObjectURL(picture.thumbnail);
    this.pictures = this.pictures.filter((other) => other !== picture);
    if (this.embedded.length === 0) this.model = null;
    this.#changed();
  }

  clear() {
    for (const picture of this.pictures) this.remove(picture);
  }

  /** Embed the images that failed for a reason that may have passed. */
  retry(pictures = this.pictures) {
    for (const picture of pictures) {
      if (picture.error?.mayPass) this.#embed(picture);
    }
  }

  async #show(picture) {
    const { url, size } = await thumbnail(picture.file);
    picture.thumbnail = url;
    picture.size = size;
    this.#changed();
  }

  async #embed(picture) {
    Object.assign(picture, { state: "waiting", error: null });
    this.#changed();
    try {
      await this.#pool.run(() => this.#ask(picture));
      picture.state = "embedded";
    } catch (error) {
      if (picture.stop.signal.aborted) return;
      if (!(error instanceof Refusal)) throw error;
      Object.assign(picture, { state: "failed", error });
    }
    this.#changed();
  }

  async #ask(picture) {
    const { signal } = picture.stop;
    signal.throwIfAborted();
    const onWait = (waitS) => {
      picture.waitS = waitS;
      this.#changed();
    };
    picture.state = "embedding";
    this.#changed();
    const { model, vector, timing, tookMs } = await this.#client.embed(picture.file, { signal, onWait });
    picture.waitS = null;
    this.model ??= model;
    if (model !== this.model) {
      throw new Refusal(200, "model_changed",
        `This server now serves ${model}, whose vectors can't be compared with those of ` +
        `${this.model}. Clear all to start over.`);
    }
    Object.assign(picture, { vector, timing, tookMs });
  }

  /** A name no other image has, as pasted images are all called image.png. */
  #unusedName(name) {
    const taken = new Set(this.pictures.map((picture) => picture.name));
    const dot = name.lastIndexOf(".");
    const [stem, extension] = dot > 0 ? [name.slice(0, dot), name.slice(dot)] : [name, ""];
    let unused = name;
    for (let number = 2; taken.has(unused); number++) unused = `${stem} (${number})${extension}`;
    return unused;
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}
