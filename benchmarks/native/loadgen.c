/* Thousands of WebSocket viewers in one process, which check every frame.

   --port N --viewers N --jobs N   viewer i watches job i modulo the number of jobs
   --job NAME        prefix of the jobs' ids; with --jobs 1 the id itself
   --path PATH       in which %s is the job
   --headers TEXT    further lines of the request, each ended by \r\n
   --subscribe TEXT  what a viewer sends when it is greeted, in which %s is the job
   --greeting TEXT   what the frame contains that greets; "": the 101 does
   --ready TEXT      what the frame contains that makes a viewer ready; "": the greeting does
   --socketio 1      Engine.IO and Socket.IO inside the frames
   --lossless 1      an index that is left out is a fault
   --burst N         most handshakes at a time; 0: all at once
   --stall N         this many viewers have a small buffer, and stop reading at `go`
   --reconnect 1     a connection that ends is opened again, with full-jitter backoff of 0.5 s to 20 s
   --pause-us N      rests so long after every round of reading, which adds as much to a delay at most: several frames of
                     a viewer are then read at once, and the core is free for Redis and the publisher
   --probe-ms N      one viewer more, which pings this often

   Commands, one a line on stdin: `go` (measuring begins: all counts are 0), `finish MS` (waits so long for the ends of
   the jobs), `state`. Each is answered by one line of JSON, and so is the moment in which all viewers are ready. End of
   input ends it. */
#include "viewer.h"

static struct sockaddr_in address;
static int epoll_fd, jobs, viewers, stalled, probe_ms, pause_us, burst, next_to_open, under_way;
static bool reconnect, finishing, gone, ready_told;
static const char *path, *headers, *job;
static Viewer *all;
static int64_t started_ns, ready_ns, deadline_ns, probe_due_ns, next_retry_ns;
static char inbox[1 << 20];

static void watch(Viewer *viewer, uint32_t events, int operation) {
  struct epoll_event event = {.events = events, .data.ptr = viewer};
  if (epoll_ctl(epoll_fd, operation, viewer->fd, &event) != 0) die("epoll_ctl: %s", strerror(errno));
}

static void retry_later(Viewer *viewer) {
  if (!viewer->counts) { /* the probe shall be there before the others */
    viewer->retry_ns = now_ns() + 10 * MS;
    if (viewer->retry_ns < next_retry_ns) next_retry_ns = viewer->retry_ns;
    return;
  }
  double cap_s = 0.5 * (double)(1 << (viewer->attempts > 6 ? 6 : viewer->attempts));
  if (cap_s > 20) cap_s = 20;
  viewer->attempts++;
  viewer->retry_ns = now_ns() + (int64_t)(drand48() * cap_s * 1e9);
  if (viewer->retry_ns < next_retry_ns) next_retry_ns = viewer->retry_ns;
}

static void ended(Viewer *viewer, const char *why) {
  if (viewer->stage < READY) {
    under_way--;
    totals.failed++;
    if (totals.first_failure[0] == 0)
      snprintf(totals.first_failure, sizeof totals.first_failure, "viewer %d: %.180s", (int)(viewer - all), why);
  } else {
    totals.closed++;
    totals.ready--;
  }
  close(viewer->fd);
  viewer->stage = CLOSED;
  viewer->part_length = 0;
  if (reconnect) retry_later(viewer);
}

static void open_one(Viewer *viewer) {
  viewer->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (viewer->fd < 0) die("socket: %s (raise the limit of open files)", strerror(errno));
  int small = 4096, one = 1;
  setsockopt(viewer->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  /* Before connect, or the window that was announced stays large: a stalled viewer shall hold up its server soon. */
  if (viewer->stalls) setsockopt(viewer->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
  viewer->stage = CONNECTING;
  viewer->retry_ns = viewer->pinged_ns = 0;
  under_way++;
  if (connect(viewer->fd, (struct sockaddr *)&address, sizeof address) != 0 && errno != EINPROGRESS) {
    ended(viewer, strerror(errno));
    return;
  }
  watch(viewer, EPOLLOUT, EPOLL_CTL_ADD);
}

static void become_ready(Viewer *viewer) {
  viewer->stage = READY;
  viewer->attempts = 0;
  viewer->ready_ns = now_ns();
  under_way--;
  totals.ready++;
  note(&totals.opening, viewer->ready_ns - viewer->asked_ns);
}

static void ask(Viewer *viewer) {
  int error = 0;
  socklen_t size = sizeof error;
  getsockopt(viewer->fd, SOL_SOCKET, SO_ERROR, &error, &size);
  if (error != 0) {
    ended(viewer, strerror(error));
    return;
  }
  char target[512], request[4096];
  snprintf(target, sizeof target, path, viewer->job);
  int length = snprintf(request, sizeof request,
                        "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " WS_KEY "\r\n%s\r\n",
                        target, ntohs(address.sin_port), headers);
  if (send(viewer->fd, request, (size_t)length, MSG_NOSIGNAL) != length) {
    ended(viewer, "the request was not taken");
    return;
  }
  viewer->asked_ns = now_ns();
  viewer->stage = ASKED;
  watch(viewer, EPOLLIN, EPOLL_CTL_MOD);
}

static void readable(Viewer *viewer) {
  if (viewer->part_length) memcpy(inbox, viewer->part, viewer->part_length);
  ssize_t got = recv(viewer->fd, inbox + viewer->part_length, sizeof inbox - viewer->part_length, 0);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0) {
    ended(viewer, got == 0 ? "the server closed the connection" : strerror(errno));
    return;
  }
  Stage before = viewer->stage;
  size_t length = viewer->part_length + (size_t)got;
  ssize_t used = take(viewer, inbox, length, now_ns());
  if (before < READY && viewer->stage == READY) become_ready(viewer);
  if (used < 0) {
    ended(viewer, totals.refusal);
    return;
  }
  keep(viewer, inbox + used, length - (size_t)used);
}

static void answer(const char *event) {
  int64_t now = now_ns();
  printf("{\"event\":\"%s\",\"viewers\":%d,\"at_ns\":%lld,\"elapsed_s\":%.6f,\"cpu_s\":%.6f,", event, viewers,
         (long long)now, (double)(now - started_ns) / 1e9, cpu_s());
  print_totals(all, viewers);
  printf("}\n");
  fflush(stdout);
}

static void obey(const char *line) {
  if (strncmp(line, "go", 2) == 0) {
    uint64_t ready = totals.ready;
    memset(&totals, 0, sizeof totals);
    totals.ready = ready;
    for (int at = 0; at < viewers; at++)
      if (all[at].stalls && all[at].stage == READY) epoll_ctl(epoll_fd, EPOLL_CTL_DEL, all[at].fd, NULL);
    answer("going");
  } else if (strncmp(line, "finish", 6) == 0) {
    deadline_ns = now_ns() + (int64_t)(strtod(line + 6, NULL) * MS);
    finishing = true;
  } else if (strncmp(line, "state", 5) == 0) {
    answer("state");
  } else {
    die("expected go, finish or state, got %s", line);
  }
}

static void read_commands(void) {
  static char text[4096];
  static size_t length;
  ssize_t got = read(0, text + length, sizeof text - 1 - length);
  if (got <= 0) {
    gone = true;
    return;
  }
  length += (size_t)got;
  text[length] = 0;
  for (char *end; (end = strchr(text, '\n')) != NULL;) {
    *end = 0;
    obey(text);
    length -= (size_t)(end + 1 - text);
    memmove(text, end + 1, length + 1);
  }
}

static void probe(int64_t now) {
  Viewer *viewer = &all[viewers];
  probe_due_ns = now + probe_ms * MS;
  if (viewer->stage != READY || viewer->pinged_ns != 0) return; /* the last one is still on its way */
  viewer->pinged_ns = now_ns();
  send_frame(viewer, 9, "probe", 5);
}

static void retry(int64_t now) {
  next_retry_ns = INT64_MAX;
  for (int at = 0; at < viewers + (probe_ms > 0); at++) {
    Viewer *viewer = &all[at];
    if (viewer->stage != CLOSED || viewer->retry_ns == 0) continue;
    if (viewer->retry_ns <= now) open_one(viewer);
    else if (viewer->retry_ns < next_retry_ns) next_retry_ns = viewer->retry_ns;
  }
}

static int pause_ms(int64_t now) {
  int64_t until = now + S;
  if (probe_ms && probe_due_ns < until) until = probe_due_ns;
  if (finishing && deadline_ns < until) until = deadline_ns;
  if (next_retry_ns < until) until = next_retry_ns;
  return until <= now ? 0 : (int)((until - now + MS - 1) / MS);
}

static void prepare(int argc, char **argv) {
  for (int at = 0; at < viewers + (probe_ms > 0); at++) {
    Viewer *viewer = &all[at];
    viewer->stage = CLOSED;
    viewer->last = NONE;
    viewer->stalls = at < stalled;
    viewer->counts = at < viewers;
    snprintf(viewer->job, sizeof viewer->job, jobs == 1 ? "%s" : "%s-%d", job, at % jobs);
    snprintf(viewer->own, sizeof viewer->own, "\"job_id\":\"%s\"", viewer->job);
  }
  rules.subscribe = argument(argc, argv, "subscribe", "");
  rules.greeting = argument(argc, argv, "greeting", "");
  rules.ready = argument(argc, argv, "ready", "");
  rules.socketio = number(argc, argv, "socketio", 0) != 0;
  rules.lossless = number(argc, argv, "lossless", 0) != 0;
}

int main(int argc, char **argv) {
  check_arguments(argc, argv);
  address = loopback((int)number(argc, argv, "port", 0));
  jobs = (int)number(argc, argv, "jobs", 1), viewers = (int)number(argc, argv, "viewers", 1);
  stalled = (int)number(argc, argv, "stall", 0), probe_ms = (int)number(argc, argv, "probe-ms", 0);
  pause_us = (int)number(argc, argv, "pause-us", 0);
  burst = (int)number(argc, argv, "burst", 0), reconnect = number(argc, argv, "reconnect", 0) != 0;
  path = argument(argc, argv, "path", "/ws/jobs/%s"), headers = argument(argc, argv, "headers", "");
  job = argument(argc, argv, "job", "hot");
  all = must(calloc((size_t)viewers + 1, sizeof *all));
  prepare(argc, argv);
  epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event commands = {.events = EPOLLIN, .data.ptr = NULL}, events[1024];
  if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, 0, &commands) != 0) die("stdin cannot be waited for: use a pipe");
  started_ns = now_ns(), next_retry_ns = INT64_MAX;
  srand48(1);
  while (!gone) {
    int everybody = viewers + (probe_ms > 0);
    while (next_to_open < everybody && (burst == 0 || under_way < burst)) open_one(&all[next_to_open++]);
    int64_t now = now_ns();
    int count = epoll_wait(epoll_fd, events, 1024, pause_ms(now));
    for (int at = 0; at < count; at++) {
      Viewer *viewer = events[at].data.ptr;
      if (viewer == NULL) read_commands();
      else if (viewer->stage == CONNECTING) ask(viewer);
      else if (viewer->stage != CLOSED) readable(viewer);
    }
    now = now_ns();
    if (probe_ms && now >= probe_due_ns) probe(now);
    if (now >= next_retry_ns) retry(now);
    bool settled = next_to_open == everybody && under_way == 0 && (!reconnect || totals.ready == (uint64_t)everybody);
    if (settled && !ready_told) {
      ready_told = true;
      ready_ns = now;
      answer("ready");
    }
    if (finishing && (now >= deadline_ns || totals.ends + (uint64_t)stalled >= (uint64_t)viewers)) {
      finishing = false;
      answer("finished");
    }
    if (pause_us && count > 0 && ready_told) {
      struct timespec rest = {.tv_nsec = pause_us * 1000L};
      nanosleep(&rest, NULL);
    }
  }
  return 0;
}
