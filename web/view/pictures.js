// Pictures and depth planes that a node left behind, as the page needs them.

/** An ImageBitmap of an address, its colours as they are in the file. Rejects where there is no picture. */
export async function loadPicture(url) {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(`no picture: ${answer.status}`);
  return createImageBitmap(await answer.blob(), { colorSpaceConversion: "none", premultiplyAlpha: "none" });
}

/** The plane of an entry {low, high} at an address: {data: Float32Array, width, height}. 16 bits in red and green. */
export async function loadPlane(url, { low, high }) {
  const bitmap = await loadPicture(url);
  const { width, height } = bitmap;
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  const bytes = context.getImageData(0, 0, width, height).data;
  const data = new Float32Array(width * height);
  for (let i = 0; i < data.length; i++) data[i] = low + ((high - low) * (256 * bytes[4 * i] + bytes[4 * i + 1])) / 65535;
  return { data, width, height };
}
