import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const older = fileURLToPath(new URL("test/react18/node_modules", import.meta.url));

/** The tests of the hook, with the React that is found in a folder. */
const react = (version: string, folder = "") => ({
  extends: true as const,
  resolve: { alias: folder ? [{ find: /^react(-dom)?(?=$|\/)/, replacement: `${folder}/react$1` }] : [] },
  test: { name: `react ${version}`, include: ["test/react/*.test.tsx"], env: { VITE_REACT: version } },
});

export default defineConfig({
  test: {
    environment: "happy-dom",
    setupFiles: ["test/bundles.ts"],
    css: true,
    restoreMocks: true,
    projects: [{ extends: true, test: { name: "all", include: ["test/*.test.ts"] } }, react("19"), react("18", older)],
  },
});
