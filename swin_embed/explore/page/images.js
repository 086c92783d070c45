// A collection's images, and what the server knows of them.

/** An image by its number, as the shared views take pictures. */
class Image {
  constructor(collection, number) {
    this.collection = collection;
    this.number = number;
  }

  get #table() {
    return this.collection.table;
  }

  get name() {
    return this.#table.names[this.number];
  }

  get path() {
    const folder = this.#table.folders[this.#table.folder[this.number]];
    return folder === "." ? this.name : `${folder}/${this.name}`;
  }

  get missing() {
    return this.collection.missing.has(this.number);
  }

  /** Why it has no vector; undefined where it has one. */
  get error() {
    return this.#table.errors[this.number - this.#table.vectors];
  }

  get thumbnail() {
    return this.missing || this.error ? null : `api/thumbnail/${this.number}?of=${this.#table.version}`;
  }

  original() {
    return this.missing || this.error ? null : `api/image/${this.number}?of=${this.#table.version}`;
  }

  get facts() {
    const table = this.#table;
    const { files, clusters } = this.collection;
    const [width, height] = [table.width[this.number], table.height[this.number]];
    const [bytes, changed] = [files.bytes[this.number], files.changed[this.number]];
    const cluster = clusters?.[this.number];
    return [
      ["Path", this.path],
      ["Size", width ? `${width} × ${height}` : ""],
      ["Bytes", bytes ? bytes.toLocaleString("en") : ""],
      ["Changed", changed ? new Date(changed * 1000).toISOString().slice(0, 10) : ""],
      ["Cluster", cluster === undefined ? "" : String(cluster + 1)],
      ["File", this.missing ? "not there any more" : ""],
    ].filter(([, value]) => value);
  }
}

export class Collection {
  table = null;
  /** What their files tell, a list a column; empty until that is known. */
  files = { bytes: [], changed: [] };
  missing = new Set();
  /** Int32Array `[vectors]`, once they are known. */
  clusters = null;
  #images = new Map();

  async load() {
    this.table = await json("api/images");
  }

  /** Learn what the files tell, which takes longer: each has to be looked at. */
  async loadFiles() {
    this.files = await json("api/files");
    this.missing = new Set(this.files.missing);
  }

  image(number) {
    if (this.#images.size > 5000) this.#images.clear();
    if (!this.#images.has(number)) this.#images.set(number, new Image(this, number));
    return this.#images.get(number);
  }
}

export async function json(url, options) {
  return (await answer(url, options)).json();
}

/** What the server answers; an Error with its words where it refuses. */
export async function answer(url, options) {
  const found = await fetch(url, options);
  if (!found.ok) {
    throw new Error((await found.text()) || `${found.status} ${found.statusText}`);
  }
  return found;
}
