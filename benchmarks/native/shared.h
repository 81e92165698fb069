/* What the three programs share: the clock, a histogram, arguments, sockets of loopback. */
#ifndef BENCHMARKS_SHARED_H
#define BENCHMARKS_SHARED_H

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* Every WebSocket of the benchmarks asks with this key: it and its answer are the example of RFC 6455, section 1.3.
   The yardstick can therefore do without SHA-1, whose microsecond nobody would see in its figures. */
#define WS_KEY "dGhlIHNhbXBsZSBub25jZQ=="
#define WS_ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

#define MS 1000000LL
#define S 1000000000LL

static inline int64_t now_ns(void) {
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return at.tv_sec * S + at.tv_nsec;
}

static inline double cpu_s(void) {
  struct rusage used;
  getrusage(RUSAGE_SELF, &used);
  return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
         (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

__attribute__((noreturn, format(printf, 1, 2))) static inline void die(const char *form, ...) {
  va_list rest;
  va_start(rest, form);
  vfprintf(stderr, form, rest);
  va_end(rest);
  fputc('\n', stderr);
  exit(2);
}

static inline void *must(void *memory) {
  if (memory == NULL) die("out of memory");
  return memory;
}

/* Log-linear: 128 steps in every power of two, so that a value is off by less than 0.8 %. Nanoseconds. */
#define STEPS 128
typedef struct {
  uint64_t counts[48 * STEPS];
  uint64_t total;
  int64_t largest;
} Histogram;

static inline void note(Histogram *histogram, int64_t value) {
  if (value < 0) value = 0;
  if (value > histogram->largest) histogram->largest = value;
  uint64_t slot = (uint64_t)value;
  if (value >= STEPS) {
    int shift = 56 - __builtin_clzll((uint64_t)value); /* leaves the highest bit and the seven below it */
    slot = (uint64_t)(shift + 1) * STEPS + (((uint64_t)value >> shift) & (STEPS - 1));
  }
  if (slot >= 48 * STEPS) slot = 48 * STEPS - 1;
  histogram->counts[slot]++;
  histogram->total++;
}

/* The smallest value that at least `share` of the values do not exceed, or -1 where there is none. */
static inline double percentile_ms(const Histogram *histogram, double share) {
  if (histogram->total == 0) return -1;
  uint64_t wanted = (uint64_t)(share * (double)histogram->total + 0.999999), seen = 0;
  if (wanted < 1) wanted = 1;
  for (uint64_t slot = 0; slot < 48 * STEPS; slot++) {
    seen += histogram->counts[slot];
    if (seen >= wanted) {
      uint64_t block = slot / STEPS, step = slot % STEPS;
      return (double)(block == 0 ? step : (step | STEPS) << (block - 1)) / 1e6;
    }
  }
  return (double)histogram->largest / 1e6;
}

static inline void print_histogram(const char *name, const Histogram *histogram) {
  printf("\"%s\":{\"count\":%llu,\"p50_ms\":%.4f,\"p90_ms\":%.4f,\"p99_ms\":%.4f,\"max_ms\":%.4f}", name,
         (unsigned long long)histogram->total, percentile_ms(histogram, 0.5), percentile_ms(histogram, 0.9),
         percentile_ms(histogram, 0.99), histogram->total ? (double)histogram->largest / 1e6 : -1);
}

/* Arguments are pairs, `--name value`. */
static inline const char *argument(int argc, char **argv, const char *name, const char *otherwise) {
  for (int at = 1; at + 1 < argc; at += 2)
    if (strcmp(argv[at] + 2, name) == 0) return argv[at + 1];
  return otherwise;
}

static inline double number(int argc, char **argv, const char *name, double otherwise) {
  const char *text = argument(argc, argv, name, NULL);
  return text == NULL ? otherwise : strtod(text, NULL);
}

static inline void check_arguments(int argc, char **argv) {
  for (int at = 1; at < argc; at += 2)
    if (strncmp(argv[at], "--", 2) != 0 || at + 1 == argc) die("expected --name value, got %s", argv[at]);
}

static inline struct sockaddr_in loopback(int port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

static inline void nonblocking(int fd) {
  int one = 1;
  fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

/* A connection that is there when this returns, and blocks. */
static inline int connect_to(int port, const char *what) {
  struct sockaddr_in address = loopback(port);
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) != 0)
    die("no connection to %s on port %d: %s", what, port, strerror(errno));
  return fd;
}

#endif
