const STAGES = ["decode", "queue", "inference"];

/**
 * How long each stage took, in ms, as the service measured it.
 *
 * @param {string | null} header a `Server-Timing` header: `decode;dur=1.5, queue;dur=0.2`
 * @returns {{stage: string, ms: number}[]} in the order of the stages; empty without the header
 */
export function stages(header) {
  const found = new Map();
  for (const metric of (header ?? "").split(",")) {
    const [stage, ...parameters] = metric.split(";").map((part) => part.trim());
    const duration = parameters.find((parameter) => parameter.startsWith("dur="));
    if (duration) found.set(stage, Number.parseFloat(duration.slice(4)));
  }
  return STAGES.filter((stage) => found.has(stage)).map((stage) => ({ stage, ms: found.get(stage) }));
}

export function totalMs(picture) {
  const parts = stages(picture.timing);
  return parts.length ? parts.reduce((sum, { ms }) => sum + ms, 0) : picture.tookMs;
}

/** A bar of a picture's stages, as long as its share of `longestMs`, and their names and times. */
export function bar(picture, longestMs) {
  const measured = stages(picture.timing);
  const parts = measured.length ? measured : [{ stage: "round trip", ms: picture.tookMs }];
  const track = document.createElement("div");
  track.className = "bar";
  track.style.width = `${(100 * totalMs(picture)) / longestMs}%`;
  const list = document.createElement("ul");
  for (const { stage, ms } of parts) {
    const part = document.createElement("span");
    part.style.flexGrow = ms;
    part.dataset.stage = stage;
    track.append(part);
    const item = document.createElement("li");
    item.dataset.stage = stage;
    item.append(`${stage} `, Object.assign(document.createElement("b"), { textContent: time(ms) }));
    list.append(item);
  }
  return [track, list];
}

function time(ms) {
  if (ms >= 1000) return `${(ms / 1000).toFixed(1)} s`;
  return `${ms >= 10 ? Math.round(ms) : ms.toFixed(1)} ms`;
}
