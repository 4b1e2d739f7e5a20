#define _GNU_SOURCE
#include "CMeshSystem.h"
#include <errno.h>
#include <linux/tcp.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

static int add(int epoll, int fd, void *context, uint32_t events) {
  struct epoll_event event = {.events = events, .data.ptr = context};
  return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

int cms_epoll_add(int epoll, int fd, void *context) {
  return add(epoll, fd, context, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
}

int cms_epoll_add_level(int epoll, int fd, void *context) { return add(epoll, fd, context, EPOLLIN); }

int cms_epoll_remove(int epoll, int fd) { return epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL); }

int cms_stream_socket(int family) { return socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0); }

int cms_accept(int fd, struct sockaddr_storage *peer, socklen_t *length) {
  return accept4(fd, (struct sockaddr *)peer, length, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

int cms_eventfd(void) { return eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC); }

static uint64_t nanoseconds(clockid_t clock) {
  struct timespec time;
  clock_gettime(clock, &time);
  return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

uint64_t cms_monotonic_nanoseconds(void) { return nanoseconds(CLOCK_MONOTONIC); }

uint64_t cms_wall_nanoseconds(void) { return nanoseconds(CLOCK_REALTIME); }

ssize_t cms_send2(int fd, const void *first, size_t first_count, const void *second, size_t second_count) {
  struct iovec ranges[2] = {{(void *)first, first_count}, {(void *)second, second_count}};
  struct msghdr message = {.msg_iov = ranges, .msg_iovlen = 2};
  return sendmsg(fd, &message, MSG_NOSIGNAL);
}

int cms_set_reset_on_close(int fd) {
  struct linger linger = {1, 0};
  return setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
}

void cms_acknowledge_now(int fd) {
  int one = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &one, sizeof one);
}

uint64_t cms_bytes_acknowledged(int fd) {
  struct tcp_info info = {0};
  socklen_t length = sizeof info;
  if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) != 0) return UINT64_MAX;
  if (length < offsetof(struct tcp_info, tcpi_bytes_acked) + sizeof info.tcpi_bytes_acked) return UINT64_MAX;
  return info.tcpi_bytes_acked;
}

static int quota(const char *path, const char *period_path) {
  char text[64] = {0};
  long limit = 0, period = 0;
  FILE *file = fopen(path, "re");
  if (!file) return 0;
  size_t count = fread(text, 1, sizeof text - 1, file);
  fclose(file);
  if (count == 0) return 0;
  if (period_path == NULL) {
    if (sscanf(text, "%ld %ld", &limit, &period) != 2) return 0;
  } else {
    if (sscanf(text, "%ld", &limit) != 1 || limit <= 0) return 0;
    if ((file = fopen(period_path, "re")) == NULL) return 0;
    if (fscanf(file, "%ld", &period) != 1) period = 0;
    fclose(file);
  }
  return period > 0 && limit > 0 ? (int)((limit + period - 1) / period) : 0;
}

int cms_usable_processors(void) {
  cpu_set_t set;
  int count = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
  int limit = quota("/sys/fs/cgroup/cpu.max", NULL);
  if (limit == 0) limit = quota("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "/sys/fs/cgroup/cpu/cpu.cfs_period_us");
  if (limit > 0 && limit < count) count = limit;
  return count > 0 ? count : 1;
}

int cms_random(void *bytes, size_t length) { return getrandom(bytes, length, 0) == (ssize_t)length ? 0 : -1; }

int cms_signalfd(const int *signals, int count) {
  sigset_t set;
  sigemptyset(&set);
  for (int index = 0; index < count; index++) sigaddset(&set, signals[index]);
  if (pthread_sigmask(SIG_BLOCK, &set, NULL) != 0) return -1;
  return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

int cms_next_signal(int fd) {
  struct signalfd_siginfo info;
  return read(fd, &info, sizeof info) == sizeof info ? (int)info.ssi_signo : 0;
}

void cms_name_thread(const char *name) { pthread_setname_np(pthread_self(), name); }

void cms_limit_arenas(int count) {
#ifdef M_ARENA_MAX
  mallopt(M_ARENA_MAX, count);
#else
  (void)count;
#endif
}

ssize_t cms_send(int fd, const void *bytes, size_t count) { return send(fd, bytes, count, MSG_NOSIGNAL); }

void cms_shutdown_write(int fd) { shutdown(fd, SHUT_WR); }
