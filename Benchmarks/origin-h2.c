// The backend of the benchmarks' HTTP/2 rows with small answers: answers each request with "Hello, world!", all requests
// of one receive with one send. What it leaves of its CPU the load generator has (see origin.c).
//
//   origin-h2 PORT
//
// HTTP/2 by prior knowledge (RFC 9113), as much of it as a server needs that answers all requests alike: it decodes no
// field, keeps the connection's window and waits for it, and holds no state for a stream.

#define _GNU_SOURCE
#include "sockets.h"
#include <errno.h>
#include <stdint.h>
#include <string.h>

enum { PEERS = 65536, READ = 256 * 1024, FRAME_HEADER = 9, FRAME_MAX = 16384, WAITING = 4096, BODY = 13, PREFACE = 24 };
enum { DATA = 0, HEADERS = 1, SETTINGS = 4, PING = 6, WINDOW_UPDATE = 8 };
enum { END_STREAM = 1, ACK = 1, END_HEADERS = 4 };

typedef struct {
  uint8_t kept[FRAME_HEADER + FRAME_MAX];  // a frame that is not whole
  size_t kept_count;
  uint8_t *out;
  size_t out_count, out_room, out_sent;
  int64_t window;
  uint32_t waiting[WAITING];  // streams whose answers wait for the window
  int waiting_count;
  int greeted;
} connection;

static connection *peers[PEERS];
static uint8_t input[READ];

// Static table: :status 200 is entry 8; content-length 28, content-type 31, date 33, server 54, as names.
static const uint8_t fields[] =
    "\x88\x0f\x0d\x02"
    "13"
    "\x0f\x10\x0atext/plain"
    "\x0f\x12\x1dThu, 01 Jan 2026 00:00:00 GMT"
    "\x0f\x27\x06origin";

static void put(connection *self, const void *bytes, size_t count) {
  if (self->out_count + count > self->out_room) {
    self->out_room = (self->out_count + count) * 2;
    self->out = realloc(self->out, self->out_room);
  }
  memcpy(self->out + self->out_count, bytes, count);
  self->out_count += count;
}

static void put_frame(connection *self, int type, int flags, uint32_t stream, const void *payload, size_t count) {
  uint8_t head[FRAME_HEADER] = {(uint8_t)(count >> 16), (uint8_t)(count >> 8), (uint8_t)count, (uint8_t)type,
                                (uint8_t)flags,         (uint8_t)(stream >> 24), (uint8_t)(stream >> 16),
                                (uint8_t)(stream >> 8), (uint8_t)stream};
  put(self, head, sizeof head);
  put(self, payload, count);
}

static uint32_t number(const uint8_t *at) {
  return ((uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3]) & 0x7fffffff;
}

static int answer(connection *self, uint32_t stream) {
  if (self->window < BODY) {
    if (self->waiting_count == WAITING) return -1;
    self->waiting[self->waiting_count++] = stream;
    return 0;
  }
  self->window -= BODY;
  put_frame(self, HEADERS, END_HEADERS, stream, fields, sizeof fields - 1);
  put_frame(self, DATA, END_STREAM, stream, "Hello, world!", BODY);
  return 0;
}

static int take_frame(connection *self, const uint8_t *frame, size_t count) {
  const uint8_t *payload = frame + FRAME_HEADER;
  int type = frame[3], flags = frame[4];
  uint32_t stream = number(frame + 5);
  if (type == SETTINGS && !(flags & ACK)) put_frame(self, SETTINGS, ACK, 0, NULL, 0);
  if (type == PING && !(flags & ACK) && count == 8) put_frame(self, PING, ACK, 0, payload, count);
  if (type == DATA && count > 0) {
    uint8_t credit[4] = {0, 0, (uint8_t)(count >> 8), (uint8_t)count};
    put_frame(self, WINDOW_UPDATE, 0, 0, credit, sizeof credit);
  }
  if (type == WINDOW_UPDATE && stream == 0 && count == 4) {
    self->window += number(payload);
    int again = self->waiting_count;
    self->waiting_count = 0;
    for (int index = 0; index < again; index++)
      if (answer(self, self->waiting[index]) != 0) return -1;
  }
  return (type == HEADERS || type == DATA) && flags & END_STREAM ? answer(self, stream) : 0;
}

// Takes whole frames out of what has come; what is left is kept.
static int take(connection *self, const uint8_t *bytes, size_t count) {
  while (count > 0) {
    const uint8_t *frame = bytes;
    size_t have = count, wanted = self->greeted ? FRAME_HEADER : PREFACE;
    if (self->kept_count > 0) {
      size_t more = sizeof self->kept - self->kept_count;
      if (more > count) more = count;
      memcpy(self->kept + self->kept_count, bytes, more);
      frame = self->kept, have = self->kept_count + more;
    }
    if (self->greeted && have >= FRAME_HEADER) wanted += (size_t)(frame[0] << 16 | frame[1] << 8 | frame[2]);
    if (wanted > sizeof self->kept) return -1;
    if (have < wanted) {
      if (frame != self->kept) memcpy(self->kept, bytes, count);
      self->kept_count = have;
      return 0;
    }
    size_t used = wanted - self->kept_count;
    if (!self->greeted) {
      if (memcmp(frame, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", PREFACE) != 0) return -1;
      self->greeted = 1;
      put_frame(self, SETTINGS, 0, 0, "\0\3\0\0\4\0", 6);  // SETTINGS_MAX_CONCURRENT_STREAMS: 1024
    } else if (take_frame(self, frame, wanted - FRAME_HEADER) != 0) {
      return -1;
    }
    self->kept_count = 0;
    bytes += used, count -= used;
  }
  return 0;
}

static void end(int fd) {
  free(peers[fd]->out);
  free(peers[fd]);
  peers[fd] = NULL;
  close(fd);
}

static void ready(int fd) {
  connection *self = peers[fd];
  for (;;) {
    while (self->out_sent < self->out_count) {
      ssize_t now = send(fd, self->out + self->out_sent, self->out_count - self->out_sent, MSG_NOSIGNAL);
      if (now < 0 && errno == EAGAIN) return;  // nothing more is read until this is gone
      if (now < 0) return end(fd);
      self->out_sent += (size_t)now;
    }
    self->out_sent = self->out_count = 0;
    ssize_t count = recv(fd, input, sizeof input, 0);
    if (count < 0 && errno == EAGAIN) return;
    if (count <= 0 || take(self, input, (size_t)count) != 0) return end(fd);
  }
}

static void accepted(int poller, int fd) {
  if (fd >= PEERS) {
    close(fd);
    return;
  }
  peers[fd] = calloc(1, sizeof *peers[fd]);
  peers[fd]->window = 65535;
  watch(poller, fd, EPOLLIN | EPOLLOUT);
}

int main(int count, char **arguments) {
  if (count != 2) {
    fprintf(stderr, "usage: origin-h2 PORT\n");
    return 2;
  }
  serve(arguments[1], epoll_create1(EPOLL_CLOEXEC), accepted, ready);
}
