const SHOWN_MS = 1500;

/** Copy text and say so on the button that was pressed. */
export async function copy(text, button) {
  const label = button.textContent;
  const done = await write(text);
  button.textContent = done ? "Copied" : "Could not copy";
  setTimeout(() => (button.textContent = label), SHOWN_MS);
}

async function write(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return writeBySelection(text); // over plain http from another machine, or where it is forbidden
  }
}

function writeBySelection(text) {
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
