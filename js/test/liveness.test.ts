import { expect, test } from "vitest";
import wire from "../../tests/wire/liveness.json";
import { liveness } from "../src/liveness";
import { STATUSES } from "../src/protocol";

test.each(wire)("$status, silent for $silence_s s of $heartbeat_s s, is $word", (wanted) => {
  const status = STATUSES.find((name) => name === wanted.status) ?? "queued";

  expect(liveness(status, wanted.silence_s, wanted.heartbeat_s ?? undefined)).toBe(wanted.word);
});
