import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    environment: "happy-dom",
    include: ["test/*.test.ts"],
    setupFiles: ["test/bundles.ts"],
    css: true,
    restoreMocks: true,
  },
});
