// The same request in several languages, for the server and model at hand.

import { copy } from "./clipboard.js";

const KEY = "SWIN_API_KEY";

/** Each takes `{embed, openai, model, dimensions, keyed}` and gives text to paste. */
const LANGUAGES = {
  curl: ({ embed, keyed }) => [
    "curl --data-binary @photo.jpg -H 'Content-Type: image/jpeg' \\",
    ...(keyed ? [`  -H "Authorization: Bearer $${KEY}" \\`] : []),
    `  ${embed}`,
  ],
  Python: ({ embed, dimensions, keyed }) => [
    "import json",
    ...(keyed ? ["import os"] : []),
    "import urllib.request",
    "",
    "import numpy as np",
    "",
    'with open("photo.jpg", "rb") as photo:',
    "    request = urllib.request.Request(",
    `        "${embed}",`,
    "        photo.read(),",
    ...(keyed
      ? [
        "        {",
        '            "Content-Type": "image/jpeg",',
        `            "Authorization": f"Bearer {os.environ['${KEY}']}",`,
        "        },",
      ]
      : ['        {"Content-Type": "image/jpeg"},']),
    "    )",
    "with urllib.request.urlopen(request) as answer:",
    '    vector = np.float32(json.load(answer)["embeddings"][0])',
    `print(vector.shape)  # (${dimensions},), unit length`,
  ],
  "OpenAI SDK": ({ openai, model, dimensions, keyed }) => [
    "import base64",
    ...(keyed ? ["import os"] : []),
    "",
    "from openai import OpenAI",
    "",
    "client = OpenAI(",
    `    base_url="${openai}",`,
    keyed ? `    api_key=os.environ["${KEY}"],` : '    api_key="none",  # this server asks for no key',
    ")",
    'with open("photo.jpg", "rb") as photo:',
    "    image = base64.b64encode(photo.read()).decode()",
    "answer = client.embeddings.create(",
    `    model="${model}",`,
    '    input=f"data:image/jpeg;base64,{image}",',
    ")",
    "vector = answer.data[0].embedding",
    `print(len(vector))  # ${dimensions}`,
  ],
};

export class Snippets {
  #facts = { model: "MODEL", dimensions: "dim" };

  constructor(client) {
    this.client = client;
    const choice = document.getElementById("languages");
    for (const [i, language] of Object.keys(LANGUAGES).entries()) {
      const label = document.createElement("label");
      const radio = document.createElement("input");
      Object.assign(radio, { type: "radio", name: "language", value: language, checked: i === 0 });
      label.append(radio, language);
      choice.append(label);
    }
    choice.addEventListener("change", () => this.update());
    const button = document.getElementById("copy-snippet");
    button.addEventListener("click", () => copy(this.#text(), button));
    this.update();
  }

  /** @param {{model: string, dimensions: number}} facts of the served model, once known */
  update(facts = this.#facts) {
    this.#facts = facts;
    document.getElementById("snippet").textContent = this.#text();
  }

  #text() {
    const { value } = document.querySelector("#languages input:checked");
    const lines = LANGUAGES[value]({
      embed: this.client.url("embed"),
      openai: this.client.url("v1"),
      keyed: this.client.key !== "",
      ...this.#facts,
    });
    return lines.join("\n");
  }
}
