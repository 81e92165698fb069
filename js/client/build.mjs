/** What `npm pack` packs: ES modules for browsers and Node, and their types, made of ../src. */

import { execFileSync } from "node:child_process";
import { copyFile, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, "..", "..");
const dist = join(here, "dist");

const { version } = JSON.parse(await readFile(join(here, "package.json"), "utf8"));
const python = await readFile(join(root, "jupyter_jobprogress", "_version.py"), "utf8");
if (!python.includes(`"${version}"`))
  throw new Error(`package.json has version ${version}, the Python package another.`);

await rm(dist, { recursive: true, force: true });
await build({
  entryPoints: [join(here, "../src/client/index.ts"), join(here, "../src/react/index.ts")],
  outdir: dist,
  outbase: join(here, "../src"),
  format: "esm",
  bundle: true,
  // What both entries need is one module: the hook and a client of the same page share their socket.
  splitting: true,
  external: ["react"],
  target: "es2022",
  charset: "utf8",
  legalComments: "none",
});
const tsc = join(dirname(createRequire(import.meta.url).resolve("typescript/package.json")), "bin", "tsc");
execFileSync(process.execPath, [tsc, "-p", here], { stdio: "inherit" });
// Node and TypeScript ask for the whole name of a file, which the sources leave to the bundler.
for (const entry of await readdir(dist, { recursive: true, withFileTypes: true })) {
  if (!entry.name.endsWith(".d.ts")) continue;
  const path = join(entry.parentPath, entry.name);
  const text = await readFile(path, "utf8");
  await writeFile(path, text.replaceAll(/(from |import\()"(\.[^"]*)"/g, '$1"$2.js"'));
}
await copyFile(join(root, "docs", "javascript.md"), join(here, "README.md"));
await copyFile(join(root, "LICENSE"), join(here, "LICENSE"));
