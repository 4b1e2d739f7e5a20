// The backend of the benchmarks' HTTP/1.1 rows: answers each request from memory, with one receive and one send. It
// shares its CPU with the load generator, so that what it does not need is left for the load: a proxy that has to wait
// for its load pays for falling asleep and waking up, and a fast one waits most.
//
//   origin PORT NAME=BYTES...      GET /NAME is answered with so many bytes; "/" and all else with "Hello, world!"
//
// Bodies of requests are read by their Content-Length and forgotten.

#define _GNU_SOURCE
#include "sockets.h"
#include <errno.h>
#include <string.h>

enum { PEERS = 65536, HEAD_MAX = 16 * 1024, ANSWERS = 16 };

typedef struct {
  char name[32];
  size_t name_length;
  char *bytes;
  size_t count;
} answer;

typedef struct {
  char *head;  // what has come of a head that is not whole
  size_t head_length;
  size_t body_left;  // of the request that is being read
  const answer *sending;
  size_t sent;
} connection;

static answer answers[ANSWERS];
static int answer_count;
static connection *peers[PEERS];
static char buffer[256 * 1024];

static void add(const char *name, const char *body, size_t count) {
  answer *new = &answers[answer_count++];
  new->name_length = (size_t)snprintf(new->name, sizeof new->name, "GET /%s ", name);
  new->bytes = malloc(count + 256);
  int head = sprintf(new->bytes,
                     "HTTP/1.1 200 OK\r\nServer: origin\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\n"
                     "Content-Type: text/plain\r\nContent-Length: %zu\r\n\r\n",
                     count);
  if (body)
    memcpy(new->bytes + head, body, count);
  else
    memset(new->bytes + head, 'x', count);
  new->count = (size_t)head + count;
}

static void end(int fd) {
  free(peers[fd]->head);
  free(peers[fd]);
  peers[fd] = NULL;
  close(fd);
}

// Goes on sending; 1 when all is sent, 0 when the socket takes no more, -1 when it is gone.
static int flush(int fd, connection *self) {
  while (self->sending) {
    ssize_t now = send(fd, self->sending->bytes + self->sent, self->sending->count - self->sent, MSG_NOSIGNAL);
    if (now < 0) return errno == EAGAIN ? 0 : -1;
    self->sent += (size_t)now;
    if (self->sent == self->sending->count) self->sending = NULL;
  }
  return 1;
}

static const answer *answer_to(const char *head) {
  for (int index = 1; index < answer_count; index++)
    if (strncmp(head, answers[index].name, answers[index].name_length) == 0) return &answers[index];
  return &answers[0];
}

static size_t body_of(const char *head) {
  const char *found = strcasestr(head, "\r\ncontent-length:");
  return found ? strtoul(found + 17, NULL, 10) : 0;
}

// Takes what has been read; -1 when the connection is to end. A request is answered when its head is whole; the next one
// is looked at when its answer is sent (nobody pipelines here past what one send takes).
static int take(int fd, connection *self, char *bytes, size_t count) {
  while (count > 0) {
    if (self->body_left > 0) {
      size_t skipped = count < self->body_left ? count : self->body_left;
      self->body_left -= skipped, bytes += skipped, count -= skipped;
      continue;
    }
    if (self->head_length > 0) {  // a head in pieces: rare, so simple
      if (self->head_length + count >= HEAD_MAX) return -1;
      memcpy(self->head + self->head_length, bytes, count);
      bytes = self->head, count += self->head_length, self->head_length = 0;
    }
    char *last = memmem(bytes, count, "\r\n\r\n", 4);
    if (!last) {
      if (count >= HEAD_MAX) return -1;
      if (!self->head) self->head = malloc(HEAD_MAX);
      memmove(self->head, bytes, count);
      self->head_length = count;
      return 0;
    }
    last[2] = 0;
    if (self->sending) return -1;
    self->body_left = bytes[0] == 'G' ? 0 : body_of(bytes);
    self->sending = answer_to(bytes);
    self->sent = 0;
    if (flush(fd, self) < 0) return -1;
    count -= (size_t)(last + 4 - bytes);
    bytes = last + 4;
  }
  return 0;
}

static void ready(int fd) {
  connection *self = peers[fd];
  if (flush(fd, self) < 0) return end(fd);
  while (!self->sending) {
    ssize_t count = recv(fd, buffer, sizeof buffer, 0);
    if (count < 0 && errno == EAGAIN) return;
    if (count <= 0 || take(fd, self, buffer, (size_t)count) != 0) return end(fd);
    if ((size_t)count < sizeof buffer) return;
  }
}

static void accepted(int poller, int fd) {
  if (fd >= PEERS) {
    close(fd);
    return;
  }
  peers[fd] = calloc(1, sizeof *peers[fd]);
  watch(poller, fd, EPOLLIN | EPOLLOUT);
}

int main(int count, char **arguments) {
  if (count < 2 || count > ANSWERS + 1) {
    fprintf(stderr, "usage: origin PORT NAME=BYTES...\n");
    return 2;
  }
  add("", "Hello, world!", 13);
  for (int index = 2; index < count; index++) {
    char *size = strchr(arguments[index], '=');
    if (!size) return 2;
    *size = 0;
    add(arguments[index], NULL, strtoul(size + 1, NULL, 10));
  }
  serve(arguments[1], epoll_create1(EPOLL_CLOEXEC), accepted, ready);
}
