// The service's API, as far as this page needs it.

const TRIES = 10;
const LONGEST_WAIT_S = 30;

/** What the service, or the way to it, answered instead of an embedding. */
export class Refusal extends Error {
  /**
   * @param {number} status the HTTP status, 0 if there was no answer
   * @param {string} code the service's error code
   */
  constructor(status, code, message, { requestId = null, retryAfterS = null } = {}) {
    super(message);
    this.status = status;
    this.code = code;
    this.requestId = requestId;
    this.retryAfterS = retryAfterS;
  }

  get busy() {
    return this.status === 429 || this.status === 503;
  }

  get needsKey() {
    return this.status === 401;
  }

  /** Whether the same image may succeed later. */
  get mayPass() {
    return this.status === 0 || this.status === 401 || this.status === 429 || this.status >= 500;
  }
}

export class Client {
  key = "";

  /** @param {string} base where the service is */
  constructor(base) {
    this.base = base;
  }

  url(path) {
    return new URL(path, this.base).href;
  }

  /** The served model, as `/v1/models` describes it. */
  async model() {
    const answer = await this.#patiently(() => this.#send("v1/models"));
    return (await answer.json()).data[0];
  }

  /**
   * One image's embedding, of unit length.
   *
   * @param {Blob} image
   * @param {{signal: AbortSignal, onWait: (seconds: number) => void}} options `onWait` is called
   *   when the service is busy and will be asked again
   * @returns {Promise<{model: string, vector: number[], timing: string | null, tookMs: number}>}
   */
  async embed(image, { signal, onWait }) {
    // The service judges content, not names; a type it does not know would only hide what is wrong.
    const type = image.type.startsWith("image/") ? image.type : "application/octet-stream";
    let asked;
    const answer = await this.#patiently(() => {
      asked = performance.now();
      return this.#send("embed", { method: "POST", body: image, headers: { "Content-Type": type }, signal });
    }, onWait, signal);
    const { model, embeddings } = await answer.json();
    const tookMs = performance.now() - asked;
    return { model, vector: embeddings[0], timing: answer.headers.get("Server-Timing"), tookMs };
  }

  /** Ask until the service isn't busy, at the times it names. */
  async #patiently(ask, onWait = () => {}, signal = undefined) {
    for (let attempt = 1; ; attempt++) {
      try {
        return await ask();
      } catch (error) {
        if (!error.busy || attempt === TRIES) throw error;
        const seconds = Math.min(error.retryAfterS ?? attempt, LONGEST_WAIT_S);
        onWait(seconds);
        await pause(seconds * 1000 * (1 + Math.random() / 4), signal);
      }
    }
  }

  async #send(path, options = {}) {
    const { key } = this;
    const headers = new Headers(options.headers);
    if (key) headers.set("Authorization", `Bearer ${key}`);
    let answer;
    try {
      answer = await fetch(this.url(path), { ...options, headers });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Refusal(0, "no_answer",
        "The connection broke before an answer came. The service may be down, or the file may be " +
        "unreadable or larger than it takes.");
    }
    if (answer.status === 401 && this.key !== key) return this.#send(path, options); // a newer key
    if (!answer.ok) throw await refusal(answer);
    return answer;
  }
}

async function refusal(answer) {
  const { error = {} } = await answer.json().catch(() => ({}));
  const retryAfter = Number.parseFloat(answer.headers.get("Retry-After"));
  return new Refusal(
    answer.status,
    error.code ?? `http_${answer.status}`,
    error.message ?? `The service answered ${answer.status} ${answer.statusText}`.trim(),
    {
      requestId: answer.headers.get("X-Request-Id"),
      retryAfterS: Number.isFinite(retryAfter) ? retryAfter : null,
    },
  );
}

function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    }, { once: true });
  });
}
