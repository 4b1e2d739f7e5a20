// The floor of a hop: a loop that copies bytes between two connections and does nothing else. What a proxy costs above
// it is its own work; what is below it belongs to the kernel.
//
//   floor LISTEN UPSTREAM      both are ports on 127.0.0.1

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PEERS = 65536, BUFFER = 65536 };

static int peer_of[PEERS];
static char buffer[BUFFER];

static struct sockaddr_in address(int port) {
  return (struct sockaddr_in){
      .sin_family = AF_INET, .sin_port = htons((unsigned short)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static void watch(int poller, int fd) {
  int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data.fd = fd};
  epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
}

static int join(int poller, int fd, int upstream) {
  struct sockaddr_in to = address(upstream);
  int other = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (other < 0 || other >= PEERS || connect(other, (struct sockaddr *)&to, sizeof to) != 0) return -1;
  peer_of[fd] = other;
  peer_of[other] = fd;
  watch(poller, fd);
  watch(poller, other);
  return 0;
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
  int upstream = atoi(arguments[2]), on = 1;
  struct sockaddr_in here = address(atoi(arguments[1]));
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), poller = epoll_create1(EPOLL_CLOEXEC);
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(listener, (struct sockaddr *)&here, sizeof here) != 0 || listen(listener, 4096) != 0) {
    perror("listen");
    return 1;
  }
  watch(poller, listener);
  for (;;) {
    struct epoll_event events[256];
    int ready = epoll_wait(poller, events, 256, -1);
    for (int i = 0; i < ready; i++) {
      if (events[i].data.fd != listener) {
        copy(events[i].data.fd);
        continue;
      }
      for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0;)
        if (fd >= PEERS || join(poller, fd, upstream) != 0) close(fd);
    }
  }
}
