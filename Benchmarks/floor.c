// The floor of a hop: a loop that copies bytes between two connections and does nothing else. What a proxy costs above
// it is its own work; what is below it belongs to the kernel.
//
//   floor LISTEN UPSTREAM      both are ports on 127.0.0.1

#define _GNU_SOURCE
#include "sockets.h"
#include <errno.h>
#include <poll.h>

enum { PEERS = 65536, BUFFER = 65536 };

static int peer_of[PEERS];
static char buffer[BUFFER];
static int upstream;

static void join(int poller, int fd) {
  struct sockaddr_in to = loopback(upstream);
  int other = fd < PEERS ? socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) : -1;
  if (other < 0 || other >= PEERS || connect(other, (struct sockaddr *)&to, sizeof to) != 0) {
    if (other >= 0) close(other);
    close(fd);
    return;
  }
  peer_of[fd] = other;
  peer_of[other] = fd;
  watch(poller, fd, EPOLLIN);
  watch(poller, other, EPOLLIN);
}

static void part(int fd) {
  int other = peer_of[fd];
  if (other < 0) return;
  peer_of[fd] = peer_of[other] = -1;
  close(other);
  close(fd);
}

// Everything that is there goes to the other side; a side that takes nothing for ten seconds loses its connection.
static void copy(int fd) {
  for (;;) {
    int to = peer_of[fd];
    if (to < 0) return;
    ssize_t count = recv(fd, buffer, BUFFER, MSG_DONTWAIT);
    if (count < 0 && errno == EAGAIN) return;
    if (count <= 0) return part(fd);
    for (ssize_t sent = 0; sent < count;) {
      ssize_t now = send(to, buffer + sent, (size_t)(count - sent), MSG_DONTWAIT | MSG_NOSIGNAL);
      struct pollfd writable = {.fd = to, .events = POLLOUT};
      if (now >= 0)
        sent += now;
      else if (errno != EAGAIN || poll(&writable, 1, 10000) != 1)
        return part(fd);
    }
    if (count < BUFFER) return;
  }
}

int main(int count, char **arguments) {
  if (count != 3) {
    fprintf(stderr, "usage: floor LISTEN UPSTREAM\n");
    return 2;
  }
  for (int fd = 0; fd < PEERS; fd++) peer_of[fd] = -1;
  upstream = atoi(arguments[2]);
  serve(arguments[1], epoll_create1(EPOLL_CLOEXEC), join, copy);
}
