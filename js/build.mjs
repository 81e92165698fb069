/** Bundles: the anywidget module and the page into the Python package, the labextension into build/labextension. */

import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { build, transform } from "esbuild";

const NAME = "jupyter_jobprogress";
const js = dirname(fileURLToPath(import.meta.url));
const root = dirname(js);
const labextension = join(root, "build", "labextension");
const statics = join(root, NAME, "static");
const versionFile = join(root, NAME, "_version.py");

/** The style sheet as minified text. What is in half of its bytes otherwise is one sign; `styleRoot` writes it out. */
const cssText = {
  name: "css-text",
  setup(build) {
    build.onLoad({ filter: /\.css$/ }, async ({ path }) => {
      const { code } = await transform(await readFile(path, "utf8"), { loader: "css", minify: true });
      if (/[$^]/.test(code)) throw new Error(`${path} has a sign that stands for something else in the bundles.`);
      // esbuild leaves the space before the value of a variable, which means nothing.
      const short = code.trim().replaceAll(/(--[a-z-]+): /g, "$1:");
      return { contents: short.replaceAll("jobprogress-", "$").replaceAll("var(--job-", "^"), loader: "text" };
    });
  },
};

/** What the other bundles take from `bar.js` in place of a copy of their own. */
const SHARED = ["board", "clock", "describe", "dom", "format", "frame", "job", "lazy", "protocol", "reducer"];
SHARED.push("shapes", "wanted");

const fromBar = {
  name: "from-bar",
  setup(build) {
    build.onResolve({ filter: new RegExp(`/(${SHARED.join("|")})$`) }, () => ({ path: "./bar.js", external: true }));
  },
};

/** The page has one style sheet for all: its policy allows none that a script makes. */
const noCss = {
  name: "no-css",
  setup(build) {
    build.onLoad({ filter: /\.css$/ }, () => ({ contents: "", loader: "text" }));
  },
};

async function styles(...names) {
  const texts = await Promise.all(names.map((name) => readFile(join(js, "src", name), "utf8")));
  return (await transform(texts.join("\n"), { loader: "css", minify: true, target: "es2022" })).code;
}

async function bundle(entry, format, { define = {}, plugins = [cssText] } = {}) {
  const result = await build({
    entryPoints: [join(js, "src", entry)],
    format,
    bundle: true,
    minify: true,
    write: false,
    target: "es2022",
    charset: "utf8",
    legalComments: "none",
    define,
    plugins,
  });
  return result.outputFiles[0].text;
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
// The hash in a name is what makes browsers fetch a new release: Jupyter serves these files with a long life.
const hashOf = (contents) => createHash("sha256").update(contents).digest("hex").slice(0, 16);

const [loaderCode, barCode, liveCode, moreCode] = await Promise.all([
  bundle("loader.ts", "esm"),
  bundle("bar.ts", "esm"),
  bundle("live.ts", "esm", { plugins: [cssText, fromBar] }),
  bundle("more/index.ts", "esm", { plugins: [cssText, fromBar] }),
]);
// No module: a browser fetches those in the mode "cors", which JupyterHub refuses to a page's own cookie.
const pageCode = await bundle("page/index.ts", "iife", { plugins: [noCss] });

// In the labextension each has its hash in its name, and so has what they import.
const bar = `bar.${hashOf(barCode)}.js`;
const named = (name, code) => {
  const text = code.replaceAll("./bar.js", `./${bar}`);
  return [`${name}.${hashOf(text)}.js`, text];
};
const [live, liveText] = named("live", liveCode);
const [more, moreText] = named("more", moreCode);
const rendererCode = await bundle("renderer.ts", "iife", { define: { FILES: JSON.stringify({ bar, live, more }) } });
const load = `static/remoteEntry.${hashOf(rendererCode)}.js`;

await rm(labextension, { recursive: true, force: true });
await rm(statics, { recursive: true, force: true });
await write(join(statics, "widget.js"), loaderCode);
await write(join(statics, "bar.js"), barCode);
await write(join(statics, "live.js"), liveCode);
await write(join(statics, "more.js"), moreCode);
await write(join(statics, "page.js"), pageCode);
await write(join(statics, "page.css"), await styles("style.css", "more/more.css", "more/table.css", "page/page.css"));
await write(join(statics, "icon.svg"), await readFile(join(js, "src/page/icon.svg"), "utf8"));
await write(join(labextension, "static", bar), barCode);
await write(join(labextension, "static", live), liveText);
await write(join(labextension, "static", more), moreText);
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
