/** Runs tasks, at most `places` at a time, the others in order. */
export class Pool {
  #free;
  #waiting = [];

  constructor(places) {
    this.#free = places;
  }

  async run(task) {
    if (this.#free > 0) this.#free -= 1;
    else await new Promise((resume) => this.#waiting.push(resume));
    try {
      return await task();
    } finally {
      const next = this.#waiting.shift();
      if (next) next();
      else this.#free += 1;
    }
  }
}
