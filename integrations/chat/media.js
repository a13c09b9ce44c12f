// What a file is, and whether it can be sent. IM takes images up to 20 MB and
// files up to 100 MB.
const MB = 1 << 20;
export const limits = { image: 20 * MB, file: 100 * MB, name: 120 };

const shown = new Set(["image/jpeg", "image/png", "image/gif", "image/webp", "image/bmp"]);
const heic = new Set(["heic", "heix", "hevc", "hevx", "heim", "heis", "mif1", "msf1"]);

// isHEIC looks at the file's first bytes: phones hand HEIC files over without a type.
async function isHEIC(file) {
  const head = new Uint8Array(await file.slice(0, 12).arrayBuffer());
  const text = String.fromCharCode(...head);
  return text.slice(4, 8) === "ftyp" && heic.has(text.slice(8, 12));
}

// Unfit is a file that cannot be sent, with the key of the sentence that says so.
export class Unfit extends Error {
  constructor(key) {
    super(key);
    this.key = key;
  }
}

// examine tells how a file is sent, {kind: "image" | "file", file}. An HEIC image
// is turned into JPEG where the browser can read it. SVG and HTML can hold
// scripts and are sent as files, which are only ever downloaded. It throws Unfit.
export async function examine(file) {
  if (file.size === 0) throw new Unfit("fileEmpty");
  if (await isHEIC(file)) file = await toJPEG(file);
  const kind = shown.has(file.type) ? "image" : "file";
  if (file.size > limits[kind]) throw new Unfit(kind === "image" ? "imageTooBig" : "fileTooBig");
  if (file.name.length > limits.name) file = new File([file], shorten(file.name), { type: file.type });
  if (kind === "image" && !(await readable(file))) throw new Unfit("imageBroken");
  return { kind, file };
}

async function toJPEG(file) {
  try {
    const bitmap = await createImageBitmap(file);
    const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
    canvas.getContext("2d").drawImage(bitmap, 0, 0);
    const blob = await canvas.convertToBlob({ type: "image/jpeg", quality: 0.9 });
    return new File([blob], file.name.replace(/\.hei[cf]$/i, "") + ".jpg", { type: "image/jpeg" });
  } catch {
    throw new Unfit("imageHEIC");
  }
}

async function readable(file) {
  try {
    (await createImageBitmap(file)).close();
    return true;
  } catch {
    return false;
  }
}

// shorten keeps the end of a long name, which says what the file is.
function shorten(name) {
  const characters = [...name];
  return [...characters.slice(0, limits.name - 21), "…", ...characters.slice(-20)].join("");
}

// sizeOf writes a size for people.
export function sizeOf(bytes, language) {
  const [value, unit] = bytes < 1000 ? [bytes, "byte"] : bytes < 999_500 ? [bytes / 1000, "kilobyte"] : [bytes / 1e6, "megabyte"];
  return new Intl.NumberFormat(language, { style: "unit", unit, unitDisplay: "short", maximumFractionDigits: value < 10 ? 1 : 0 }).format(value);
}
