/* The yardstick "C": an epoll loop between Redis and the viewers, one send for each message and viewer, nothing clever.

   --redis-port N --port-file FILE   listens on a free port and writes it into the file
   --join 1     all messages of one read from Redis leave together: shows that the load generator keeps up with what no
                server does that sends one by one
   --lie KIND   for tests of the load generator: one frame in seven is not the truth. lose, swap, cut (its end),
                bracket (an inner one), other (job), binary

   It reads one subscription to all jobs, and asks for the state of a job when its first viewer comes. What a socket does
   not take is kept without a bound: the yardstick is not an example. */
#include "shared.h"

#define BUCKETS 8192
#define HEAD_BYTES 2048

typedef struct Viewer {
  int fd;
  bool open, waits; /* waits: for the state of its job */
  struct Job *job;
  char *head; /* of the request, until it is answered */
  size_t head_length;
  char *rest; /* what the socket did not take */
  size_t rest_length, rest_size;
  struct Viewer *next, *before;
} Viewer;

typedef struct Job {
  char id[256];
  char *newest;
  size_t newest_length;
  bool asked, read;
  char *pending; /* frames that leave together */
  size_t pending_length, pending_size;
  Viewer *viewers;
  struct Job *next, *next_pending;
} Job;

static Job *table[BUCKETS];
static int epoll_fd, listener, pushes, commands;
static Viewer pushes_mark, commands_mark, listener_mark;
static Job *asked[65536];
static unsigned asked_first, asked_last;
static const char *lie;
static bool join;
static Job *pending;
static char *inbox;
static size_t inbox_length, inbox_size = 1 << 20;
static char answers[1 << 20];
static size_t answers_length;

static Job *job_of(const char *id, size_t length) {
  unsigned hash = 5381;
  for (size_t at = 0; at < length; at++) hash = hash * 33 + (unsigned char)id[at];
  Job **at = &table[hash % BUCKETS];
  for (; *at != NULL; at = &(*at)->next)
    if (strlen((*at)->id) == length && memcmp((*at)->id, id, length) == 0) return *at;
  *at = must(calloc(1, sizeof **at));
  memcpy((*at)->id, id, length);
  return *at;
}

static void watch(int fd, Viewer *viewer, uint32_t events, int operation) {
  struct epoll_event event = {.events = events, .data.ptr = viewer};
  if (epoll_ctl(epoll_fd, operation, fd, &event) != 0) die("epoll_ctl: %s", strerror(errno));
}

static void leave(Viewer *viewer) {
  if (viewer->job != NULL) {
    if (viewer->before != NULL) viewer->before->next = viewer->next;
    else viewer->job->viewers = viewer->next;
    if (viewer->next != NULL) viewer->next->before = viewer->before;
  }
  close(viewer->fd);
  free(viewer->head);
  free(viewer->rest);
  free(viewer);
}

static void keep(Viewer *viewer, const char *data, size_t length) {
  if (viewer->rest_length + length > viewer->rest_size)
    viewer->rest = must(realloc(viewer->rest, viewer->rest_size = (viewer->rest_length + length) * 2));
  memcpy(viewer->rest + viewer->rest_length, data, length);
  if (viewer->rest_length == 0) watch(viewer->fd, viewer, EPOLLIN | EPOLLOUT, EPOLL_CTL_MOD);
  viewer->rest_length += length;
}

/* False: the viewer is gone. The loop frees it when epoll reports the same. */
static bool write_out(Viewer *viewer, const char *data, size_t length) {
  ssize_t sent = viewer->rest_length ? 0 : send(viewer->fd, data, length, MSG_NOSIGNAL);
  if (sent < 0 && errno != EAGAIN) return false;
  if (sent < 0) sent = 0;
  if ((size_t)sent < length) keep(viewer, data + sent, length - (size_t)sent);
  return true;
}

static size_t head_of_frame(char *frame, size_t length) {
  frame[0] = (char)0x81;
  if (length < 126) {
    frame[1] = (char)length;
    return 2;
  }
  frame[1] = length < 65536 ? 126 : 127;
  int bytes = length < 65536 ? 2 : 8;
  for (int at = 0; at < bytes; at++) frame[2 + at] = (char)(length >> (8 * (bytes - 1 - at)));
  return (size_t)(2 + bytes);
}

static void write_message(Viewer *viewer, const char *data, size_t length) {
  static char frame[1 << 17];
  if (length > sizeof frame - 10) return;
  size_t head = head_of_frame(frame, length);
  memcpy(frame + head, data, length);
  write_out(viewer, frame, head + length);
}

/* One frame in seven is what a broken server would send. True: the viewer has got something. */
static bool told_a_lie(Viewer *viewer, const Job *job, const char *data, size_t length) {
  static unsigned turn;
  if (++turn % 7 != 0) return false;
  if (strcmp(lie, "lose") == 0) return true;
  char copy[1 << 16];
  if (length > sizeof copy - 10) die("a state of %zu bytes is too long to lie about", length);
  memcpy(copy, data, length);
  if (strcmp(lie, "cut") == 0) {
    write_message(viewer, copy, length - 2);
  } else if (strcmp(lie, "bracket") == 0) {
    copy[length - 2] = ']';
    write_message(viewer, copy, length);
  } else if (strcmp(lie, "swap") == 0) {
    write_message(viewer, data, length);
    if (job->newest != NULL) write_message(viewer, job->newest, job->newest_length);
  } else if (strcmp(lie, "other") == 0) {
    char *id = memmem(copy, length, job->id, strlen(job->id));
    if (id != NULL) id[0] ^= 1;
    write_message(viewer, copy, length);
  } else if (strcmp(lie, "binary") == 0) {
    char frame[1 << 16];
    size_t head = head_of_frame(frame, length);
    frame[0] = (char)0x82;
    memcpy(frame + head, data, length);
    write_out(viewer, frame, head + length);
  }
  return true;
}

static void add_pending(Job *job, const char *frame, size_t length) {
  if (job->pending_length == 0) {
    job->next_pending = pending;
    pending = job;
  }
  if (job->pending_length + length > job->pending_size)
    job->pending = must(realloc(job->pending, job->pending_size = (job->pending_length + length) * 2));
  memcpy(job->pending + job->pending_length, frame, length);
  job->pending_length += length;
}

static void write_pending(void) {
  for (; pending != NULL; pending = pending->next_pending) {
    for (Viewer *viewer = pending->viewers, *next; viewer != NULL; viewer = next) {
      next = viewer->next;
      write_out(viewer, pending->pending, pending->pending_length);
    }
    pending->pending_length = 0;
  }
}

static void pushed(const char *id, size_t id_length, const char *data, size_t length) {
  Job *job = job_of(id, id_length);
  static char frame[1 << 17];
  if (length > sizeof frame - 10) return;
  size_t head = head_of_frame(frame, length);
  memcpy(frame + head, data, length);
  if (join) add_pending(job, frame, head + length);
  for (Viewer *viewer = join ? NULL : job->viewers, *next; viewer != NULL; viewer = next) {
    next = viewer->next;
    if (lie == NULL || !told_a_lie(viewer, job, data, length)) write_out(viewer, frame, head + length);
  }
  job->newest = must(realloc(job->newest, length));
  memcpy(job->newest, data, job->newest_length = length);
}

/* A bulk string of Redis at *at; moves *at behind it. False: not all of it is here. */
static bool bulk(const char *data, size_t length, size_t *at, const char **text, size_t *size) {
  const char *end = memchr(data + *at, '\n', length - *at);
  if (end == NULL) return false;
  long count = strtol(data + *at + 1, NULL, 10);
  size_t after = (size_t)(end + 1 - data);
  *text = data + after;
  *size = count < 0 ? 0 : (size_t)count;
  if (data[*at] == ':' || count < 0) {
    *at = after;
    return true;
  }
  if (after + *size + 2 > length) return false;
  *at = after + *size + 2;
  return true;
}

static void read_pushes(void) {
  if (inbox_length == inbox_size) inbox = must(realloc(inbox, inbox_size *= 2));
  ssize_t got = recv(pushes, inbox + inbox_length, inbox_size - inbox_length, 0);
  if (got <= 0 && errno == EAGAIN) return;
  if (got <= 0) die("Redis closed the subscription");
  inbox_length += (size_t)got;
  size_t at = 0;
  while (at < inbox_length) {
    const char *end = memchr(inbox + at, '\n', inbox_length - at), *parts[4];
    if (end == NULL) break;
    long count = strtol(inbox + at + 1, NULL, 10);
    size_t sizes[4], next = (size_t)(end + 1 - inbox);
    bool whole = true;
    for (long part = 0; part < count && whole; part++)
      whole = next < inbox_length && bulk(inbox, inbox_length, &next, &parts[part], &sizes[part]);
    if (!whole) break;
    at = next;
    if (count == 4) pushed(parts[2] + 13, sizes[2] - 13, parts[3], sizes[3]); /* after "job_progress:" */
  }
  memmove(inbox, inbox + at, inbox_length -= at);
  write_pending();
}

static void read_states(void) {
  ssize_t got = recv(commands, answers + answers_length, sizeof answers - answers_length, 0);
  if (got <= 0 && errno == EAGAIN) return;
  if (got <= 0) die("Redis closed the connection");
  answers_length += (size_t)got;
  size_t at = 0, size;
  const char *text;
  while (at < answers_length && bulk(answers, answers_length, &at, &text, &size)) {
    Job *job = asked[asked_first++ % 65536];
    job->read = true;
    if (job->newest == NULL && size) memcpy(job->newest = must(malloc(size)), text, job->newest_length = size);
    for (Viewer *viewer = job->viewers; viewer != NULL; viewer = viewer->next) {
      if (viewer->waits && job->newest != NULL) write_message(viewer, job->newest, job->newest_length);
      viewer->waits = false;
    }
  }
  memmove(answers, answers + at, answers_length -= at);
}

static bool greet(Viewer *viewer) {
  static const char accepted[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                                 "Sec-WebSocket-Accept: " WS_ACCEPT "\r\n\r\n";
  static const char path[] = "GET /ws/jobs/", key[] = "Sec-WebSocket-Key: " WS_KEY;
  if (strncmp(viewer->head, path, sizeof path - 1) != 0 || strstr(viewer->head, key) == NULL) return false;
  char *id = viewer->head + sizeof path - 1, greeting[512];
  Job *job = viewer->job = job_of(id, strcspn(id, " ?"));
  if ((viewer->next = job->viewers) != NULL) job->viewers->before = viewer;
  job->viewers = viewer;
  viewer->open = true;
  free(viewer->head);
  viewer->head = NULL;
  if (!write_out(viewer, accepted, sizeof accepted - 1)) return false;
  int length = snprintf(greeting, sizeof greeting, "{\"type\":\"connected\",\"job_id\":\"%s\"}", job->id);
  write_message(viewer, greeting, (size_t)length);
  if (job->read && job->newest != NULL) write_message(viewer, job->newest, job->newest_length);
  viewer->waits = !job->read;
  if (!job->asked) {
    char command[512];
    length = snprintf(command, sizeof command, "*2\r\n$3\r\nGET\r\n$%zu\r\njob_status:%s\r\n", strlen(job->id) + 11, job->id);
    job->asked = true;
    asked[asked_last++ % 65536] = job;
    if (send(commands, command, (size_t)length, MSG_NOSIGNAL) != length) die("Redis does not take commands");
  }
  return true;
}

/* False: the viewer is gone. */
static bool read_viewer(Viewer *viewer) {
  char data[4096];
  if (viewer->open) {
    ssize_t got = recv(viewer->fd, data, sizeof data, 0);
    if (got <= 0) return got < 0 && errno == EAGAIN;
    if (((unsigned char)data[0] & 0x0F) == 9 && got >= 6 && got < 126) {
      char pong[128] = {(char)0x8A, (char)(data[1] & 0x7F)}; /* the load generator's mask is 0 */
      memcpy(pong + 2, data + 6, (size_t)got - 6);
      return write_out(viewer, pong, (size_t)got - 4);
    }
    return ((unsigned char)data[0] & 0x0F) != 8;
  }
  ssize_t got = recv(viewer->fd, viewer->head + viewer->head_length, HEAD_BYTES - 1 - viewer->head_length, 0);
  if (got <= 0) return got < 0 && errno == EAGAIN;
  viewer->head_length += (size_t)got;
  viewer->head[viewer->head_length] = 0;
  if (strstr(viewer->head, "\r\n\r\n") != NULL) return greet(viewer);
  return viewer->head_length < HEAD_BYTES - 1;
}

static void write_rest(Viewer *viewer) {
  ssize_t sent = send(viewer->fd, viewer->rest, viewer->rest_length, MSG_NOSIGNAL);
  if (sent <= 0) return;
  memmove(viewer->rest, viewer->rest + sent, viewer->rest_length -= (size_t)sent);
  if (viewer->rest_length == 0) watch(viewer->fd, viewer, EPOLLIN, EPOLL_CTL_MOD);
}

static void accept_all(void) {
  for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
    Viewer *viewer = must(calloc(1, sizeof *viewer));
    viewer->fd = fd;
    viewer->head = must(malloc(HEAD_BYTES));
    nonblocking(fd);
    watch(fd, viewer, EPOLLIN, EPOLL_CTL_ADD);
  }
}

int main(int argc, char **argv) {
  check_arguments(argc, argv);
  int redis_port = (int)number(argc, argv, "redis-port", 6379), one = 1;
  const char *port_file = argument(argc, argv, "port-file", NULL);
  struct sockaddr_in address = loopback((int)number(argc, argv, "port", 0));
  socklen_t size = sizeof address;
  lie = argument(argc, argv, "lie", NULL), join = number(argc, argv, "join", 0) != 0;
  inbox = must(malloc(inbox_size));
  pushes = connect_to(redis_port, "Redis"), commands = connect_to(redis_port, "Redis");
  static const char all_jobs[] = "*2\r\n$10\r\nPSUBSCRIBE\r\n$14\r\njob_progress:*\r\n";
  if (send(pushes, all_jobs, sizeof all_jobs - 1, MSG_NOSIGNAL) < 0) die("Redis does not take the subscription");
  nonblocking(pushes), nonblocking(commands);
  listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(listener, (struct sockaddr *)&address, size) != 0 || listen(listener, 4096) != 0)
    die("listening: %s", strerror(errno));
  getsockname(listener, (struct sockaddr *)&address, &size);
  epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  watch(pushes, &pushes_mark, EPOLLIN, EPOLL_CTL_ADD);
  watch(commands, &commands_mark, EPOLLIN, EPOLL_CTL_ADD);
  watch(listener, &listener_mark, EPOLLIN, EPOLL_CTL_ADD);
  FILE *file = port_file ? fopen(port_file, "w") : NULL;
  if (file == NULL) die("expected --port-file with the name of a file that can be written");
  fprintf(file, "%d\n", ntohs(address.sin_port));
  fclose(file);
  struct epoll_event events[512];
  for (;;) {
    int count = epoll_wait(epoll_fd, events, 512, -1);
    for (int at = 0; at < count; at++) {
      Viewer *viewer = events[at].data.ptr;
      if (viewer == &pushes_mark) read_pushes();
      else if (viewer == &commands_mark) read_states();
      else if (viewer == &listener_mark) accept_all();
      else if ((events[at].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) && !read_viewer(viewer)) leave(viewer);
      else if ((events[at].events & EPOLLOUT) && viewer->rest_length) write_rest(viewer);
    }
  }
}
