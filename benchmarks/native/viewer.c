#include "viewer.h"

Rules rules;
Totals totals;

static void fault(const Viewer *viewer, const char *what, const char *data, size_t length) {
  if (totals.first_fault[0] != 0) return;
  int shown = length > 200 ? 200 : (int)length;
  snprintf(totals.first_fault, sizeof totals.first_fault, "%s, viewer of %s: %.*s", what, viewer->job, shown, data);
}

void keep(Viewer *viewer, const char *data, size_t length) {
  if (length > viewer->part_size) viewer->part = must(realloc(viewer->part, viewer->part_size = length * 2));
  if (length) memmove(viewer->part, data, length);
  viewer->part_length = length;
}

/* With the mask 0, which leaves the bytes as they are. Short ones only, to a socket that has little in line. */
void send_frame(Viewer *viewer, int opcode, const char *data, size_t length) {
  unsigned char frame[2048] = {(unsigned char)(0x80 | opcode), 0x80};
  size_t head = 6;
  if (length > sizeof frame - 8) die("a frame of %zu bytes is too long for this viewer", length);
  if (length < 126) {
    frame[1] |= (unsigned char)length;
  } else {
    frame[1] |= 126;
    frame[2] = (unsigned char)(length >> 8);
    frame[3] = (unsigned char)length;
    head = 8;
  }
  memcpy(frame + head, data, length);
  if (send(viewer->fd, frame, head + length, MSG_NOSIGNAL) != (ssize_t)(head + length))
    fault(viewer, "the server does not read", data, length);
}

static void subscribe(Viewer *viewer) {
  char text[1024];
  if (rules.subscribe[0] == 0) return;
  int length = snprintf(text, sizeof text, rules.subscribe, viewer->job);
  send_frame(viewer, 1, text, (size_t)length);
}

static bool contains(const char *data, size_t length, const char *text) {
  return memmem(data, length, text, strlen(text)) != NULL;
}

static void greeted(Viewer *viewer) {
  viewer->stage = GREETED;
  subscribe(viewer);
  if (rules.ready[0] == 0) viewer->stage = READY;
}

/* Brackets match outside strings, and nothing follows the last. Reads every byte, and is therefore done for one state in
   61 (a prime, so that no pattern of faults evades it); what makes the others right is that a server does not write JSON byte by byte. */
static bool balanced(const char *data, size_t length) {
  char open[64];
  size_t depth = 0;
  bool quoted = false;
  for (size_t at = 0; at < length; at++) {
    char c = data[at];
    if (quoted) {
      if (c == '\\') at++;
      else if (c == '"') quoted = false;
    } else if (c == '"') {
      quoted = true;
    } else if (c == '{' || c == '[') {
      if (depth == sizeof open) return false;
      open[depth++] = c;
    } else if (c == '}' || c == ']') {
      if (depth == 0 || open[--depth] != (c == '}' ? '{' : '[')) return false;
      if (depth == 0 && at + 1 != length) return false;
    }
  }
  return depth == 0 && !quoted;
}

/* Where a text stood in the last state, it mostly stands in this one. */
static bool find(const char *data, size_t length, const char *text, size_t *hint) {
  size_t size = strlen(text);
  if (*hint + size < length && memcmp(data + *hint, text, size) == 0) return true;
  const char *found = memmem(data, length, text, size);
  if (found != NULL) *hint = (size_t)(found - data);
  return found != NULL;
}

static bool find_number(const char *data, size_t length, const char *name, size_t *hint, int64_t *value) {
  if (!find(data, length, name, hint)) return false;
  const char *at = data + *hint + strlen(name), *end = data + length;
  bool negative = at < end && *at == '-';
  if (negative) at++;
  if (at >= end || *at < '0' || *at > '9') return false;
  int64_t sum = 0;
  for (; at < end && *at >= '0' && *at <= '9'; at++) sum = sum * 10 + (*at - '0');
  *value = negative ? -sum : sum;
  return true;
}

static void take_state(Viewer *viewer, const char *data, size_t length, int64_t now) {
  static size_t own_hint, status_hint, index_hint, sent_hint;
  static unsigned turn;
  int64_t index, sent_ns;
  bool is_own = find(data, length, viewer->own, &own_hint);
  if (!is_own || !find(data, length, "\"status\":\"", &status_hint) ||
      !find_number(data, length, "\"index\":", &index_hint, &index) ||
      !find_number(data, length, "\"sent_ns\":", &sent_hint, &sent_ns) ||
      (turn++ % 61 == 0 && !balanced(data, length))) {
    totals.malformed++;
    fault(viewer, is_own ? "not a state" : "a state of another job", data, length);
    return;
  }
  bool end = data[status_hint + sizeof "\"status\":\"" - 1] == 'c';
  if (viewer->last != NONE && index <= viewer->last) {
    if (index == viewer->last) totals.repeats++; /* reading again after a gap is allowed, and does no harm */
    else totals.out_of_order++, fault(viewer, "an older state after a newer one", data, length);
    return;
  }
  if (viewer->ended) totals.after_end++, fault(viewer, "a state after the end", data, length);
  int64_t expected = viewer->last == NONE || viewer->last < 0 ? 0 : viewer->last + 1;
  if (index > expected) {
    totals.skipped += (uint64_t)(index - expected);
    if (rules.lossless) fault(viewer, "states are missing before this one", data, length);
  }
  if (index >= 0) {
    totals.delivered++;
    note(&totals.delay, now - sent_ns);
    if (viewer->last >= 0) note(&totals.stale, now - viewer->last_sent_ns);
    if (totals.first_ns == 0) totals.first_ns = now;
    totals.last_ns = now;
  }
  viewer->last = index;
  viewer->last_sent_ns = sent_ns;
  if (end && !viewer->ended) {
    viewer->ended = true;
    viewer->end_delay_ns = now - sent_ns;
    totals.ends++;
    note(&totals.end, viewer->end_delay_ns);
  }
}

static void take_text(Viewer *viewer, const char *data, size_t length, int64_t now) {
  if (rules.socketio) {
    /* Engine.IO 4: 0 opens, 2 pings, 4 is a message; in it Socket.IO 5: 0 connects, 2 is an event. */
    if (length && data[0] == '0') send_frame(viewer, 1, "40", 2);
    else if (length == 1 && data[0] == '2') send_frame(viewer, 1, "3", 1);
    if (length < 3 || memcmp(data, "42", 2) != 0) {
      if (viewer->stage == UPGRADED && length > 1 && memcmp(data, "40", 2) == 0) greeted(viewer);
      return;
    }
    data += 2, length -= 2;
  }
  if (viewer->stage == UPGRADED && contains(data, length, rules.greeting)) greeted(viewer);
  if (viewer->stage == GREETED && contains(data, length, rules.ready)) viewer->stage = READY;
  char first = rules.socketio ? '[' : '{', last = rules.socketio ? ']' : '}';
  if (length < 2 || data[0] != first || data[length - 1] != last) {
    totals.malformed++;
    fault(viewer, "not JSON", data, length);
    return;
  }
  if (viewer->counts && !contains(data, length > 40 ? 40 : length, "\"type\":")) {
    if (!rules.socketio || contains(data, length, "\"sent_ns\":")) take_state(viewer, data, length, now);
  }
}

static bool take_response(Viewer *viewer, const char *data, size_t head) {
  if (head < 12 || memcmp(data, "HTTP/1.1 101", 12) != 0 || !contains(data, head, WS_ACCEPT) ||
      contains(data, head, "permessage-deflate")) {
    snprintf(totals.refusal, sizeof totals.refusal, "the server answered %.*s", (int)strcspn(data, "\r\n"), data);
    return false;
  }
  viewer->stage = UPGRADED;
  if (rules.greeting[0] == 0 && !rules.socketio) greeted(viewer);
  return true;
}

ssize_t take(Viewer *viewer, char *data, size_t length, int64_t now) {
  size_t at = 0;
  if (viewer->stage == ASKED) {
    const char *end = memmem(data, length, "\r\n\r\n", 4);
    if (end == NULL) return 0;
    at = (size_t)(end + 4 - data);
    if (!take_response(viewer, data, at)) return -1;
  }
  while (length - at >= 2) {
    unsigned char *frame = (unsigned char *)data + at;
    uint64_t size = frame[1] & 0x7F;
    size_t head = size < 126 ? 2 : size == 126 ? 4 : 10;
    if (length - at < head) break;
    if (head > 2) {
      size = 0;
      for (size_t byte = 2; byte < head; byte++) size = size << 8 | frame[byte];
    }
    if (size > 512 * 1024) {
      snprintf(totals.refusal, sizeof totals.refusal, "a frame of %llu bytes", (unsigned long long)size);
      return -1;
    }
    if (length - at - head < size) break;
    const char *payload = data + at + head;
    at += head + size;
    totals.frames++;
    totals.bytes += head + size;
    if (frame[0] == 0x81 && !(frame[1] & 0x80)) {
      take_text(viewer, payload, size, now);
    } else if (frame[0] == 0x89) {
      send_frame(viewer, 10, payload, size);
    } else if (frame[0] == 0x8A) {
      if (viewer->pinged_ns) note(&totals.probe, now - viewer->pinged_ns);
      viewer->pinged_ns = 0;
    } else if (frame[0] == 0x88) {
      unsigned code = size < 2 ? 0 : (unsigned)(unsigned char)payload[0] << 8 | (unsigned char)payload[1];
      snprintf(totals.refusal, sizeof totals.refusal, "the server closed with the code %u", code);
      return -1;
    } else {
      totals.malformed++;
      fault(viewer, "a frame that is neither whole text nor ping, pong or close", payload, size);
    }
  }
  return (ssize_t)at;
}

/* JSON has no place for what a server may send as text. */
static void print_text(const char *name, const char *text) {
  printf("\"%s\":\"", name);
  for (; *text; text++) {
    if (*text == '"' || *text == '\\') putchar('\\');
    if ((unsigned char)*text >= 0x20 && (unsigned char)*text < 0x7F) putchar(*text);
    else putchar('?');
  }
  printf("\",");
}

void print_totals(const Viewer *all, int viewers) {
  uint64_t unended = 0, nothing = 0;
  for (int at = 0; at < viewers; at++) {
    unended += !all[at].ended && !all[at].stalls;
    nothing += all[at].last == NONE && !all[at].stalls;
  }
  struct {
    const char *name;
    uint64_t value;
  } counts[] = {{"ready", totals.ready},         {"failed", totals.failed},       {"closed", totals.closed},
                {"frames", totals.frames},       {"bytes", totals.bytes},         {"delivered", totals.delivered},
                {"repeats", totals.repeats},     {"skipped", totals.skipped},     {"out_of_order", totals.out_of_order},
                {"after_end", totals.after_end}, {"malformed", totals.malformed}, {"ends", totals.ends},
                {"without_end", unended},        {"without_state", nothing}};
  for (size_t at = 0; at < sizeof counts / sizeof *counts; at++)
    printf("\"%s\":%llu,", counts[at].name, (unsigned long long)counts[at].value);
  printf("\"first_ns\":%lld,\"last_ns\":%lld,", (long long)totals.first_ns, (long long)totals.last_ns);
  print_text("first_failure", totals.first_failure);
  print_text("first_fault", totals.first_fault);
  print_text("refusal", totals.refusal);
  print_histogram("delay", &totals.delay), putchar(',');
  print_histogram("stale", &totals.stale), putchar(',');
  print_histogram("end", &totals.end), putchar(',');
  print_histogram("opening", &totals.opening), putchar(',');
  print_histogram("probe", &totals.probe);
}
