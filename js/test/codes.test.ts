import { expect, test } from "vitest";
import wire from "../../tests/wire/codes.json";
import { CloseCode, ERROR_CODES, retries } from "../src/codes";

test("close codes are those of the table that both languages read", () => {
  const table = Object.fromEntries(
    Object.entries(CloseCode).map(([name, code]) => [String(code), { name, retry: retries(code) }]),
  );

  expect(table).toEqual(wire.close);
});

test("error codes are those of the table", () => {
  expect([...ERROR_CODES].sort()).toEqual(wire.errors);
});

test("a code of no table means that the connection broke", () => {
  expect([1000, 1006, 3001, 4999].every(retries)).toBe(true);
});
