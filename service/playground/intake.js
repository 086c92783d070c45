// The ways images come in: dropped anywhere on the page, pasted, chosen.

/**
 * The page says that it takes what is dragged over it, wherever it has been scrolled to.
 *
 * @param {(files: File[]) => void} take
 * @param {string} invitation what a drop would do
 */
export function listen(take, invitation) {
  const target = document.createElement("div");
  target.className = "drop";
  target.hidden = true;
  target.append(Object.assign(document.createElement("p"), { textContent: invitation }));
  document.body.append(target);
  const field = document.getElementById("files");
  document.getElementById("choose").addEventListener("click", () => field.click());
  field.addEventListener("change", () => {
    take([...field.files]);
    field.value = ""; // so that choosing the same file again is a change
  });

  // Entering a child comes before leaving its parent: only the count says when the page is left.
  let depth = 0;
  const over = (change) => {
    depth = change;
    target.hidden = depth === 0;
  };
  addEventListener("dragenter", (event) => carriesFiles(event) && over(depth + 1));
  addEventListener("dragleave", (event) => carriesFiles(event) && over(depth - 1));
  addEventListener("dragover", (event) => carriesFiles(event) && event.preventDefault());
  addEventListener("drop", async (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    over(0);
    const files = await filesIn(event.dataTransfer);
    if (files.length) take(files);
  });

  addEventListener("paste", (event) => {
    const files = [...event.clipboardData.files];
    if (files.length === 0) return;
    event.preventDefault();
    take(files);
  });
}

function carriesFiles(event) {
  return event.dataTransfer?.types.includes("Files");
}

/** The files that were dropped, those in folders too. */
async function filesIn(transfer) {
  const items = [...transfer.items].filter((item) => item.kind === "file");
  // Entries are only there until the event is over: take them all before waiting for one.
  const entries = items.map((item) => [item.webkitGetAsEntry(), item.getAsFile()]);
  const found = entries.map(([entry, file]) => (entry?.isDirectory ? inFolder(entry) : [file]));
  return (await Promise.all(found)).flat();
}

async function inFolder(folder) {
  const reader = folder.createReader();
  const entries = [];
  for (;;) {
    // Chromium gives at most 100 at a time, and none at the end.
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (some.length === 0) break;
    entries.push(...some);
  }
  const visible = entries.filter((entry) => !entry.name.startsWith("."));
  const found = visible.map((entry) =>
    entry.isDirectory ? inFolder(entry) : new Promise((resolve, reject) => entry.file(resolve, reject)),
  );
  return (await Promise.all(found)).flat();
}
