/**
 * A NumPy file of float32, format version 1.0.
 *
 * @param {number[]} values in C order
 * @param {number[]} shape
 * @returns {Uint8Array}
 */
export function npy(values, shape) {
  const tuple = shape.length === 1 ? `${shape[0]},` : shape.join(", ");
  const dict = `{'descr': '<f4', 'fortran_order': False, 'shape': (${tuple}), }`;
  // Ten bytes of magic, version and length come first; the data starts at a multiple of 64.
  const start = Math.ceil((10 + dict.length + 1) / 64) * 64;
  const header = dict.padEnd(start - 10 - 1) + "\n";
  const file = new Uint8Array(start + 4 * values.length);
  const view = new DataView(file.buffer);
  file.set([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0]); // \x93NUMPY
  view.setUint16(8, header.length, true);
  file.set(new TextEncoder().encode(header), 10);
  values.forEach((value, i) => view.setFloat32(start + 4 * i, value, true));
  return file;
}
