const SIDE = 192;

/**
 * A small copy of an image, so that the page doesn't keep every photo decoded.
 *
 * @param {Blob} image
 * @returns {Promise<{url: string | null, size: {width: number, height: number} | null}>} nulls
 *   where the browser doesn't know the format, whatever the service makes of it
 */
export async function thumbnail(image) {
  const url = URL.createObjectURL(image);
  try {
    const original = new Image();
    original.src = url;
    await original.decode();
    const { naturalWidth: width, naturalHeight: height } = original;
    const scale = Math.min(1, SIDE / Math.min(width, height));
    const canvas = document.createElement("canvas");
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
    const context = canvas.getContext("2d");
    context.imageSmoothingQuality = "high";
    context.drawImage(original, 0, 0, canvas.width, canvas.height);
    const small = await new Promise((resolve) => canvas.toBlob(resolve));
    return { url: URL.createObjectURL(small), size: { width, height } };
  } catch {
    return { url: null, size: null };
  } finally {
    URL.revokeObjectURL(url);
  }
}

/** An element that shows a picture small: its thumbnail, or what its name ends in. */
export function view(picture, alt = "") {
  if (picture.thumbnail) {
    const image = document.createElement("img");
    image.loading = "lazy";
    image.src = picture.thumbnail;
    image.alt = alt;
    image.className = "thumbnail";
    return image;
  }
  const stand_in = document.createElement("span");
  stand_in.className = "thumbnail none";
  stand_in.textContent = picture.thumbnail === null ? ending(picture.name) : "";
  if (alt) {
    stand_in.setAttribute("role", "img");
    stand_in.setAttribute("aria-label", alt);
  }
  return stand_in;
}

function ending(name) {
  const dot = name.lastIndexOf(".");
  return dot < 0 ? "?" : name.slice(dot + 1, dot + 5).toUpperCase();
}
