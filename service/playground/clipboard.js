const SHOWN_MS = 1500;

/** Copy text and say so on the button that was pressed. */
export async function copy(text, button) {
  const label = button.textContent;
  const done = await write(text);
  button.textContent = done ? "Copied" : "Could not copy";
  setTimeout(() => (button.textContent = label), SHOWN_MS);
}

async function write(text) {
  if (navigator.clipboard) {
    return navigator.clipboard.writeText(text).then(() => true, () => false);
  }
  // Over plain http from another machine there is no clipboard API, only this.
  const area = document.createElement("textarea");
  area.value = text;
  const focused = document.activeElement;
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  focused?.focus();
  return done;
}
