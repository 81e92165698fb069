/* One viewer: its handshake, its frames, and what is checked in them. */
#ifndef BENCHMARKS_VIEWER_H
#define BENCHMARKS_VIEWER_H
#include "shared.h"

#define NONE INT64_MIN

typedef enum { CLOSED, CONNECTING, ASKED, UPGRADED, GREETED, READY } Stage;

typedef struct {
  int fd, attempts;
  Stage stage;
  bool stalls;       /* stops reading at `go`, and is not in any figure from then on */
  bool counts;       /* false: the probe, which watches, too, but is in no figure but its own */
  bool ended;        /* has the state that ends its job */
  char job[96], own[112]; /* the id, and how it stands in a state */
  int64_t last;      /* index of the newest state, or NONE */
  int64_t last_sent_ns, end_delay_ns, asked_ns, ready_ns, retry_ns, pinged_ns;
  char *part;        /* the first bytes of a frame that is not complete */
  size_t part_length, part_size;
} Viewer;

typedef struct {
  const char *subscribe, *greeting, *ready;
  bool socketio, lossless;
} Rules;

typedef struct {
  uint64_t frames, bytes, delivered, repeats, ends, closed, failed, ready;
  uint64_t skipped;        /* indexes that were left out before a newer one came */
  uint64_t out_of_order;   /* an index below the newest */
  uint64_t after_end;      /* a state after the one that ended the job */
  uint64_t malformed;      /* wrong opcode, broken JSON, state of another job */
  int64_t first_ns, last_ns;
  Histogram delay, stale, end, opening, probe;
  char refusal[200], first_failure[256], first_fault[400];
} Totals;

extern Rules rules;
extern Totals totals;

/* Takes all complete frames (before the upgrade: the response). Returns how many bytes it used, or -1: give it up. */
ssize_t take(Viewer *viewer, char *data, size_t length, int64_t now);
/* Keeps what is left of a frame until the rest comes. */
void keep(Viewer *viewer, const char *data, size_t length);
void send_frame(Viewer *viewer, int opcode, const char *data, size_t length);
void print_totals(const Viewer *all, int viewers);
#endif
