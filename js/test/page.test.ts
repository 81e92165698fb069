import { describe, expect, test } from "vitest";
import { readRoute, readTyped, routeTo } from "../src/page/route";

const BASE = "https://host/a/b/";

describe("the address bar", () => {
  test.each([
    [[], BASE],
    [["train-7"], `${BASE}jobs/train-7`],
    [["a:b@c+d=e"], `${BASE}jobs/a%3Ab%40c%2Bd%3De`],
    [["a", "b+c"], `${BASE}?job=a&job=b%2Bc`],
  ])("of %s is a link to share, and is read again", (jobIds, url) => {
    expect(routeTo(jobIds, BASE)).toBe(url);
    expect(readRoute(url, BASE)).toEqual(jobIds);
  });

  test.each([`${BASE}jobs/%E0%A4%A`, `${BASE}jobs/..%2Fapi`, `${BASE}?job=-`, `${BASE}jobs/`])(
    "with no job id in it shows none: %s",
    (url) => expect(readRoute(url, BASE)).toEqual([]),
  );

  test("shows no more than a server takes", () => {
    const many = Array.from({ length: 300 }, (_, index) => `job-${index}`);
    expect(readRoute(routeTo(many, BASE), BASE)).toHaveLength(100);
  });
});

test("what is typed may be ids, several of them, and links", () => {
  expect(readTyped(` a, b;a\n${BASE}jobs/c  ${BASE}?job=d&job=e `, BASE)).toEqual({
    jobIds: ["a", "b", "c", "d", "e"],
    wrong: [],
  });
  expect(readTyped("ok no/id https://elsewhere/jobs/x", BASE)).toEqual({
    jobIds: ["ok"],
    wrong: ["no/id", "https://elsewhere/jobs/x"],
  });
});
