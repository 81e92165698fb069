/* Publishes the states of many jobs at a steady pace, stamped, faster than any server passes them on.

   --port N          Redis, or the HTTP server that takes POST
   --post PATH       POST to PATH, in which %s is the job, instead of SET and PUBLISH
   --job NAME        prefix of the jobs' ids; with --jobs 1 the id itself
   --jobs N --rate R updates a second of every job
   --count N         updates of every job, index 0 to N - 1; index N ends it
   --warm-up N       updates before them, with an index below 0
   --end 0           do not end the jobs
   --seq 0           leave out seq, as other programs do
   --bytes N         length of a state

   One line of JSON on stdout when everything was taken. What a moment has to send goes in one write: SET of the newest
   state of a job in it, PUBLISH of all. */
#include "shared.h"

static char *out;
static size_t out_length, out_size;
static int fd;
static uint64_t answers, wanted, errors;
static char first_error[200];

static void append(const char *text, size_t length) {
  while (out_length + length > out_size) out = must(realloc(out, out_size = out_size * 2 + 65536));
  memcpy(out + out_length, text, length);
  out_length += length;
}

__attribute__((format(printf, 1, 2))) static void append_form(const char *form, ...) {
  char text[600];
  va_list rest;
  va_start(rest, form);
  int length = vsnprintf(text, sizeof text, form, rest);
  va_end(rest);
  append(text, (size_t)length);
}

/* Counts the answers. Each is one line to Redis, and one head with an empty line at its end to an HTTP server. */
static void read_answers(bool http) {
  static char line[4096];
  static size_t length, left;
  char data[65536];
  ssize_t got = recv(fd, data, sizeof data, 0);
  if (got == 0) die("the other end closed the connection; first error: %s", first_error);
  if (got < 0) {
    if (errno == EAGAIN) return;
    die("reading answers: %s", strerror(errno));
  }
  for (ssize_t at = 0; at < got; at++) {
    if (left) {
      left--;
      continue;
    }
    if (length < sizeof line - 1) line[length++] = data[at];
    if (data[at] != '\n') continue;
    line[length] = 0;
    bool failed = http ? strncmp(line, "HTTP/1.1 ", 9) == 0 && line[9] != '2' : line[0] == '-';
    if (failed && errors++ == 0) snprintf(first_error, sizeof first_error, "%.*s", (int)strcspn(line, "\r\n"), line);
    static size_t body;
    if (http && strncasecmp(line, "content-length:", 15) == 0) body = strtoul(line + 15, NULL, 10);
    if (!http || length <= 2) {
      answers++;
      left = body;
      body = 0;
    }
    length = 0;
  }
}

/* Writes what is in line. It reads meanwhile: an end that cannot answer stops reading. */
static void flush_out(bool http) {
  size_t at = 0;
  while (at < out_length) {
    ssize_t sent = send(fd, out + at, out_length - at, MSG_NOSIGNAL);
    if (sent > 0) at += (size_t)sent;
    else if (errno == EAGAIN) read_answers(http);
    else die("writing: %s; first error: %s", strerror(errno), first_error);
  }
  out_length = 0;
}

int main(int argc, char **argv) {
  check_arguments(argc, argv);
  const char *job = argument(argc, argv, "job", "hot"), *post = argument(argc, argv, "post", NULL);
  int jobs = (int)number(argc, argv, "jobs", 1), port = (int)number(argc, argv, "port", 6379);
  int64_t count = (int64_t)number(argc, argv, "count", 100), warm_up = (int64_t)number(argc, argv, "warm-up", 0);
  double rate = number(argc, argv, "rate", 100) * jobs;
  bool with_end = number(argc, argv, "end", 1) != 0, with_seq = number(argc, argv, "seq", 1) != 0;
  int bytes = (int)number(argc, argv, "bytes", 254);
  char *state = must(malloc((size_t)bytes + 2048)), *padding = must(malloc((size_t)bytes + 1));
  memset(padding, 'x', (size_t)bytes);
  fd = connect_to(port, post ? "the HTTP server" : "Redis");
  nonblocking(fd);

  struct timespec wall;
  clock_gettime(CLOCK_REALTIME, &wall);
  int64_t wall_less_ns = wall.tv_sec * S + wall.tv_nsec - now_ns();
  int64_t all = (warm_up + count + (with_end ? 1 : 0)) * jobs;
  static Histogram late;
  int64_t started = now_ns(), first_ns = 0, last_ns = 0, last_seq = 0;
  for (int64_t next = 0; next < all;) {
    int64_t due = started + (int64_t)((double)next / rate * 1e9), now = now_ns();
    if (now < due) {
      /* 200 us more give a write with many updates where the pace is high; a slow pace is kept to the moment. */
      int64_t until = rate > 5000 ? due + 200000 : due;
      struct timespec at = {.tv_sec = until / S, .tv_nsec = until % S};
      clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
      now = now_ns();
    }
    int64_t upto = (int64_t)((double)(now - started) / 1e9 * rate) + 1;
    if (upto > all) upto = all;
    if (upto > next + 4096) upto = next + 4096;
    for (; next < upto; next++) {
      int64_t index = next / jobs - warm_up;
      int number_of_job = (int)(next % jobs);
      bool end = index == count;
      now = now_ns();
      note(&late, now - started - (int64_t)((double)next / rate * 1e9));
      char id[128], head[96] = "";
      if (jobs == 1) snprintf(id, sizeof id, "%s", job);
      else snprintf(id, sizeof id, "%s-%d", job, number_of_job);
      if (with_seq) {
        int64_t seq = (now + wall_less_ns) / 1000;
        last_seq = seq > last_seq ? seq : last_seq + 1;
        snprintf(head, sizeof head, "\"seq\":%lld,", (long long)last_seq);
      }
      char form[] = "{%s\"job_id\":\"%s\",\"status\":\"%s\",\"stage\":\"rendering\",\"progress\":%.4f,\"message\":\"%.*s\","
                    "\"timestamp\":\"2026-01-01T00:00:00.000Z\",\"metadata\":{\"index\":%lld,\"sent_ns\":%lld}}";
      double progress = index < 0 ? 0 : (double)index / (double)(count ? count : 1);
      int pad = 0, length = 0;
      for (int turn = 0; turn < 2; turn++) {
        length = snprintf(state, (size_t)bytes + 2048, form, head, id, end ? "completed" : "processing", progress, pad,
                          padding, (long long)index, (long long)now);
        if (length >= bytes) break;
        pad = bytes - length;
      }
      if (post != NULL) {
        append("POST ", 5);
        append_form(post, id);
        append_form(" HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n", length);
        append(state, (size_t)length);
        wanted++;
      } else {
        if (next + jobs >= upto) { /* nothing newer of this job in this write */
          append_form("*5\r\n$3\r\nSET\r\n$%zu\r\njob_status:%s\r\n$%d\r\n", strlen(id) + 11, id, length);
          append(state, (size_t)length);
          append_form("\r\n$2\r\nEX\r\n$4\r\n3600\r\n");
          wanted++;
        }
        append_form("*3\r\n$7\r\nPUBLISH\r\n$%zu\r\njob_progress:%s\r\n$%d\r\n", strlen(id) + 13, id, length);
        append(state, (size_t)length);
        append("\r\n", 2);
        wanted++;
      }
      if (index >= 0 && first_ns == 0) first_ns = now;
      last_ns = now;
    }
    flush_out(post != NULL);
    read_answers(post != NULL);
  }
  for (int64_t deadline = now_ns() + 60 * S; answers < wanted && now_ns() < deadline;) {
    struct timespec pause = {.tv_nsec = 200000};
    nanosleep(&pause, NULL);
    read_answers(post != NULL);
  }
  printf("{\"sent\":%lld,\"answered\":%llu,\"unanswered\":%llu,\"errors\":%llu,\"first_error\":\"%s\",\"first_ns\":%lld,"
         "\"last_ns\":%lld,\"cpu_s\":%.6f,",
         (long long)all, (unsigned long long)answers, (unsigned long long)(wanted - answers),
         (unsigned long long)errors, first_error, (long long)first_ns, (long long)last_ns, cpu_s());
  print_histogram("late", &late);
  printf("}\n");
  return 0;
}
