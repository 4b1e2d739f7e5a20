// What the small servers of the benchmarks have in common: a listener on loopback and edge-triggered connections.

#pragma once
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static inline struct sockaddr_in loopback(int port) {
  return (struct sockaddr_in){
      .sin_family = AF_INET, .sin_port = htons((unsigned short)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static inline void watch(int poller, int fd, unsigned events) {
  int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  struct epoll_event event = {.events = events | EPOLLRDHUP | EPOLLET, .data.fd = fd};
  epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
}

// Accepts on `port` and hands out readiness, for ever. `accepted` gets new descriptors, `ready` those of connections.
static inline _Noreturn void serve(const char *port, int poller, void (*accepted)(int poller, int fd), void (*ready)(int fd)) {
  struct sockaddr_in here = loopback(atoi(port));
  int on = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(listener, (struct sockaddr *)&here, sizeof here) != 0 || listen(listener, 4096) != 0) {
    perror("listen");
    exit(1);
  }
  watch(poller, listener, EPOLLIN);
  for (;;) {
    struct epoll_event events[256];
    int found = epoll_wait(poller, events, 256, -1);
    for (int index = 0; index < found; index++) {
      if (events[index].data.fd != listener) {
        ready(events[index].data.fd);
        continue;
      }
      for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0;) accepted(poller, fd);
    }
  }
}
