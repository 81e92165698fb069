/** Numbers and durations for people. `locale` undefined means the browser's own. */

const MINUTE_S = 60;
const HOUR_S = 3600;
const DAY_S = 86_400;
const BYTE_UNITS = ["B", "kB", "MB", "GB", "TB", "PB"];

const formats = new Map<string, Intl.NumberFormat>();
const clocks = new Map<string, Intl.DateTimeFormat>();

// A NumberFormat takes tens of microseconds to make, and every update of every bar needs several.
function number(value: number, locale: string | undefined, options: Intl.NumberFormatOptions): string {
  const key = `${locale} ${JSON.stringify(options)}`;
  let format = formats.get(key);
  if (format === undefined) {
    format = new Intl.NumberFormat(locale, options);
    formats.set(key, format);
  }
  return format.format(value);
}

/** Always so many decimals: a number that loses one now and then moves its neighbours. */
const exactly = (digits: number) => ({ minimumFractionDigits: digits, maximumFractionDigits: digits });

/** `0:07`, `12:34`, `3:04:05`, `2d 03:04`. Seconds are cut, never rounded up. */
export function formatDuration(seconds: number, locale?: string): string {
  const whole = Math.max(0, Math.floor(seconds));
  const digits = (value: number, minimumIntegerDigits: number) => number(value, locale, { minimumIntegerDigits });
  const hours = Math.floor(whole / HOUR_S);
  const minutes = Math.floor((whole % HOUR_S) / MINUTE_S);
  if (whole >= DAY_S) return `${digits(Math.floor(whole / DAY_S), 1)}d ${digits(hours % 24, 2)}:${digits(minutes, 2)}`;
  const rest = digits(whole % MINUTE_S, 2);
  return hours > 0 ? `${digits(hours, 1)}:${digits(minutes, 2)}:${rest}` : `${digits(minutes, 1)}:${rest}`;
}

/** When a job that has `left_s` seconds to go will end: a time of today, with the day where it is another one. */
export function formatClock(nowUs: number, left_s: number, locale?: string): string {
  const end = new Date(nowUs / 1000 + left_s * 1000);
  const today = new Date(nowUs / 1000).toDateString() === end.toDateString();
  const day = today
    ? {}
    : left_s < 6 * DAY_S
      ? { weekday: "short" as const }
      : { day: "numeric" as const, month: "short" as const };
  const options = { hour: "numeric" as const, minute: "2-digit" as const, ...day };
  const key = `${locale} ${JSON.stringify(options)}`;
  let format = clocks.get(key);
  if (format === undefined) {
    format = new Intl.DateTimeFormat(locale, options);
    clocks.set(key, format);
  }
  return format.format(end);
}

/** How long something took: with a decimal below ten seconds, where `0:00` would say nothing. */
export function formatTotal(seconds: number, locale?: string): string {
  if (seconds >= 10) return formatDuration(seconds, locale);
  return `${seconds < 0.1 ? "<" : ""}${number(Math.max(seconds, 0.1), locale, exactly(1))} s`;
}

/** A fraction as a whole percentage, cut: 100 % is said only when it is reached. */
export function formatPercent(fraction: number, locale?: string): string {
  // 0.29 * 100 is 28.999999999999996: without the tiny addend it would be cut to 28.
  return number(Math.floor(fraction * 100 + 1e-9) / 100, locale, { style: "percent" });
}

function isBytes(unit: string | undefined): boolean {
  return unit === "B" || unit === "bytes";
}

function formatBytes(value: number, locale: string | undefined): string {
  const scaled = BYTE_UNITS.findIndex((_, power) => Math.abs(value) < 1000 ** (power + 1));
  const power = scaled === -1 ? BYTE_UNITS.length - 1 : scaled;
  return `${number(value / 1000 ** power, locale, exactly(power === 0 ? 0 : 1))} ${BYTE_UNITS[power]}`;
}

/** `420 / 1,000 batches`, `1.2 MB / 3.0 GB`, `420 batches` without a total. */
export function formatCount(n: number, total: number | undefined, unit: string | undefined, locale?: string): string {
  const bytes = isBytes(unit);
  const one = (value: number) =>
    bytes ? formatBytes(value, locale) : number(value, locale, { maximumFractionDigits: 1 });
  const counted = total && total > 0 ? `${one(n)} / ${one(total)}` : one(n);
  return unit && !bytes ? `${counted} ${unit}` : counted;
}

/** A rate by the largest of second, minute and hour in which it is 1 or more. */
export function formatRate(rate_per_s: number, unit: string | undefined, locale?: string): string {
  if (isBytes(unit)) return `${formatBytes(rate_per_s, locale)}/s`;
  const [value, per] =
    rate_per_s >= 1
      ? [rate_per_s, "s"]
      : rate_per_s * MINUTE_S >= 1
        ? [rate_per_s * MINUTE_S, "min"]
        : [rate_per_s * HOUR_S, "h"];
  const shown = number(value, locale, exactly(value >= 100 ? 0 : value >= 10 ? 1 : 2));
  return `${shown} ${unit ? `${unit}/${per}` : `/ ${per}`}`;
}

/** A metric in four digits; very small and very large ones with an exponent; an en dash for none. */
export function formatMetric(value: number | null, locale?: string): string {
  if (value === null) return "–";
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e6)) return value.toExponential(2);
  return number(value, locale, { maximumSignificantDigits: size >= 1000 ? 6 : 4 });
}
