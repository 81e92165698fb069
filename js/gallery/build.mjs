/** Writes the gallery page into a folder: `node gallery/build.mjs FOLDER`. */

import { copyFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const folder = process.argv[2];
if (folder === undefined) throw new Error("Expected a folder to write the gallery into.");

await build({
  entryPoints: [join(here, "gallery.ts")],
  outfile: join(folder, "gallery.js"),
  bundle: true,
  format: "iife",
  target: "es2022",
  charset: "utf8",
  loader: { ".css": "text" },
});
await copyFile(join(here, "index.html"), join(folder, "index.html"));
