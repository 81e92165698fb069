/** Bundles: the anywidget module into the Python package, the labextension into build/labextension. */

import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { build, transform } from "esbuild";

const NAME = "jupyter_jobprogress";
const js = dirname(fileURLToPath(import.meta.url));
const root = dirname(js);
const labextension = join(root, "build", "labextension");
const widget = join(root, NAME, "static", "widget.js");
const versionFile = join(root, NAME, "_version.py");

/** The style sheet as minified text. */
const cssText = {
  name: "css-text",
  setup(build) {
    build.onLoad({ filter: /\.css$/ }, async ({ path }) => {
      const { code } = await transform(await readFile(path, "utf8"), { loader: "css", minify: true });
      return { contents: code.trim(), loader: "text" };
    });
  },
};

async function bundle(entry, format) {
  const result = await build({
    entryPoints: [join(js, "src", entry)],
    format,
    bundle: true,
    minify: true,
    write: false,
    target: "es2022",
    charset: "utf8",
    legalComments: "none",
    plugins: [cssText],
  });
  return result.outputFiles[0].contents;
}

/** Digest of everything that the bundles are made of; hatch_build.py computes the same to see whether they are fresh. */
async function sourcesDigest() {
  const entries = await readdir(join(js, "src"), { recursive: true, withFileTypes: true });
  const sources = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  const others = ["build.mjs", "package.json", "package-lock.json", "tsconfig.json"].map((name) => join(js, name));
  const names = [...sources, ...others, versionFile].map((path) => relative(root, path).split(sep).join("/")).sort();
  const digest = createHash("sha256");
  for (const name of names) {
    digest.update(`${name}\0`);
    digest.update(await readFile(join(root, name)));
    digest.update("\0");
  }
  return digest.digest("hex");
}

async function write(path, contents) {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, contents);
  console.log(`${relative(root, path)} ${(contents.length / 1024).toFixed(1)} KiB`);
}

const json = (value) => `${JSON.stringify(value, null, 2)}\n`;

const version = /__version__ = "([^"]+)"/.exec(await readFile(versionFile, "utf8"))?.[1];
if (version === undefined) throw new Error(`Expected a line __version__ = "…" in ${versionFile}.`);

const digest = await sourcesDigest();
const [widgetCode, rendererCode] = await Promise.all([bundle("widget.ts", "esm"), bundle("renderer.ts", "iife")]);

// The hash in the name is what makes browsers fetch a new release: Jupyter serves these files with a long life.
const hash = createHash("sha256").update(rendererCode).digest("hex").slice(0, 16);
const load = `static/remoteEntry.${hash}.js`;

await rm(labextension, { recursive: true, force: true });
await write(widget, widgetCode);
await write(join(labextension, load), rendererCode);
const manifest = { name: NAME, version, jupyterlab: { _build: { load, mimeExtension: "./mimeExtension" } } };
await write(join(labextension, "package.json"), json(manifest));
await write(
  join(labextension, "install.json"),
  json({
    packageManager: "python",
    packageName: NAME,
    uninstallInstructions: `Use your Python package manager to uninstall the package ${NAME}`,
  }),
);
// Last, so that a build that was broken off is not taken for a fresh one.
await write(join(root, "build", "js-sources.sha256"), `${digest}\n`);
