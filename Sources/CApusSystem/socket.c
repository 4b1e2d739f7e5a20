#define _GNU_SOURCE
#include "CApusSystem.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { resolve_base = 1000 };

// Connects without blocking, then waits for the outcome. The socket blocks again afterwards.
static int connect_one(const struct addrinfo *address, int timeout_ms) {
  int descriptor = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (descriptor < 0) return -errno;
  int error = 0;
  if (connect(descriptor, address->ai_addr, address->ai_addrlen) != 0) error = errno;
  if (error == EINPROGRESS) {
    struct pollfd wait = {.fd = descriptor, .events = POLLOUT};
    int ready;
    do {
      ready = poll(&wait, 1, timeout_ms);
    } while (ready < 0 && errno == EINTR);
    socklen_t length = sizeof error;
    if (ready == 0) error = ETIMEDOUT;
    else if (getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &error, &length) != 0) error = errno;
  }
  int flags = fcntl(descriptor, F_GETFL);
  if (error == 0 && (flags < 0 || fcntl(descriptor, F_SETFL, flags & ~O_NONBLOCK) != 0)) error = errno;
  if (error != 0) {
    close(descriptor);
    return -error;
  }
  int on = 1;
  setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return descriptor;
}

int apus_connect(const char *host, const char *port, int timeout_ms) {
  struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
  struct addrinfo *list = NULL;
  int code = getaddrinfo(host, port, &hints, &list);
  if (code != 0) return code < 0 ? -resolve_base + code : -resolve_base;
  int result = -EHOSTUNREACH;
  for (struct addrinfo *address = list; address; address = address->ai_next) {
    result = connect_one(address, timeout_ms);
    if (result >= 0) break;
  }
  freeaddrinfo(list);
  return result;
}

const char *apus_resolve_error(int code) { return gai_strerror(code + resolve_base); }

int apus_listen(const char *host, const char *port) {
  struct addrinfo hints = {
      .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV | AI_NUMERICHOST | AI_PASSIVE};
  struct addrinfo *address = NULL;
  int code = getaddrinfo(host, port, &hints, &address);
  if (code != 0) return code < 0 ? -resolve_base + code : -resolve_base;
  int descriptor = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  int error = descriptor < 0 ? errno : 0;
  int on = 1;
  if (!error) setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (!error && bind(descriptor, address->ai_addr, address->ai_addrlen) != 0) error = errno;
  if (!error && listen(descriptor, 512) != 0) error = errno;
  freeaddrinfo(address);
  if (!error) return descriptor;
  if (descriptor >= 0) close(descriptor);
  return -error;
}

int apus_accept(int descriptor) {
  int accepted;
  do {
    accepted = accept4(descriptor, NULL, NULL, SOCK_CLOEXEC);
  } while (accepted < 0 && (errno == EINTR || errno == ECONNABORTED));
  if (accepted < 0) return -errno;
  int on = 1;
  setsockopt(accepted, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return accepted;
}

int apus_local_port(int descriptor) {
  struct sockaddr_storage address;
  socklen_t length = sizeof address;
  if (getsockname(descriptor, (struct sockaddr *)&address, &length) != 0) return -errno;
  if (address.ss_family == AF_INET) return ntohs(((struct sockaddr_in *)&address)->sin_port);
  if (address.ss_family == AF_INET6) return ntohs(((struct sockaddr_in6 *)&address)->sin6_port);
  return -EAFNOSUPPORT;
}

int apus_set_timeout(int descriptor, int timeout_ms) {
  struct timeval limit = {.tv_sec = timeout_ms / 1000, .tv_usec = (timeout_ms % 1000) * 1000};
  if (setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) != 0) return -errno;
  if (setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) != 0) return -errno;
  return 0;
}
