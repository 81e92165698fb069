import { expect, test } from "vitest";
import { formatCount, formatDuration, formatMetric, formatPercent, formatRate, formatTotal } from "../src/format";

test("durations are cut to seconds and grow by hours and days", () => {
  expect(
    [0, 7.9, 59, 60, 754, 3600, 11_045, 86_400, 183_840, -5].map((seconds) => formatDuration(seconds, "en")),
  ).toEqual(["0:00", "0:07", "0:59", "1:00", "12:34", "1:00:00", "3:04:05", "1d 00:00", "2d 03:04", "0:00"]);
});

test("a percentage says 100 only when it is reached", () => {
  expect([0, 0.29, 0.999, 1].map((fraction) => formatPercent(fraction, "en"))).toEqual(["0%", "29%", "99%", "100%"]);
  expect(formatPercent(0.42, "de")).toBe("42\u00a0%");
});

test("counts take the locale, the unit and the scale of bytes", () => {
  expect(formatCount(420, 1000, "batches", "en")).toBe("420 / 1,000 batches");
  expect(formatCount(420, undefined, "batches", "en")).toBe("420 batches");
  expect(formatCount(420, 0, undefined, "en")).toBe("420");
  expect(formatCount(1234567, 2e9, "B", "en")).toBe("1.2 MB / 2.0 GB");
  expect(formatCount(999, undefined, "bytes", "en")).toBe("999 B");
  expect(formatCount(5e18, undefined, "B", "en")).toBe("5,000.0 PB");
});

test("rates keep their number of digits, whatever they are", () => {
  const rates = [1.999, 2, 9.5, 17.94, 18, 99.4, 100, 101.5].map((rate) => formatRate(rate, "x", "en"));

  expect(rates.map((rate) => rate.replace("x/s", "").trim())).toEqual([
    "2.00",
    "2.00",
    "9.50",
    "17.9",
    "18.0",
    "99.4",
    "100",
    "102",
  ]);
});

test("rates choose the unit of time in which they are readable", () => {
  expect(formatRate(5.254, "batches", "en")).toBe("5.25 batches/s");
  expect(formatRate(12345.6, "rows", "en")).toBe("12,346 rows/s");
  expect(formatRate(0.5, "batches", "en")).toBe("30.0 batches/min");
  expect(formatRate(0.001, "batches", "en")).toBe("3.60 batches/h");
  expect(formatRate(2, undefined, "en")).toBe("2.00 / s");
  expect(formatRate(4.2e6, "B", "en")).toBe("4.2 MB/s");
});

test("metrics keep four digits, and exponents where there are more", () => {
  expect([0.12345, 0, 1, 12345.678, 3e-4, 2.5e9, -0.5, null].map((value) => formatMetric(value, "en"))).toEqual([
    "0.1235",
    "0",
    "1",
    "12,345.7",
    "3.00e-4",
    "2.50e+9",
    "-0.5",
    "–",
  ]);
});

test("a short total has a decimal", () => {
  expect([0, 0.42, 9.94, 10, 75].map((seconds) => formatTotal(seconds, "en"))).toEqual([
    "<0.1 s",
    "0.4 s",
    "9.9 s",
    "0:10",
    "1:15",
  ]);
});
