#define _GNU_SOURCE
#include "CMeshSystem.h"
#include <errno.h>
#include <link.h>
#include <linux/tcp.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

// What stands in for the kernel on this thread. Null outside simulations: one test that always goes the same way, beside
// a system call.
static _Thread_local const struct cms_kernel *simulated __attribute__((tls_model("initial-exec")));

#define SIMULATED __builtin_expect(simulated != NULL, 0)

void cms_use_kernel(const struct cms_kernel *kernel) { simulated = kernel; }

// What a simulated call returned, as libc says it.
static ssize_t told(ssize_t result) {
  if (result >= 0) return result;
  errno = (int)-result;
  return -1;
}

static int add(int epoll, int fd, void *context, uint32_t events) {
  if (SIMULATED)
    return (int)told(simulated->epoll_add(simulated->context, epoll, fd, context, (events & EPOLLET) != 0));
  struct epoll_event event = {.events = events, .data.ptr = context};
  return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

int cms_epoll_add(int epoll, int fd, void *context) {
  return add(epoll, fd, context, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
}

int cms_epoll_add_level(int epoll, int fd, void *context) { return add(epoll, fd, context, EPOLLIN); }

int cms_epoll_remove(int epoll, int fd) {
  if (SIMULATED) return (int)told(simulated->epoll_remove(simulated->context, epoll, fd));
  return epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL);
}

int cms_epoll_create(void) {
  if (SIMULATED) return (int)told(simulated->epoll_create(simulated->context));
  return epoll_create1(EPOLL_CLOEXEC);
}

int cms_epoll_wait(int epoll, struct epoll_event *events, int capacity, int milliseconds) {
  if (SIMULATED) return (int)told(simulated->epoll_wait(simulated->context, epoll, events, capacity, milliseconds));
  return epoll_wait(epoll, events, capacity, milliseconds);
}

void cms_pause(uint64_t nanoseconds) {
  if (SIMULATED) return;
  struct timespec duration = {(time_t)(nanoseconds / 1000000000u), (long)(nanoseconds % 1000000000u)};
  nanosleep(&duration, NULL);
}

void cms_pause_exactly(void) { prctl(PR_SET_TIMERSLACK, 1); }

// As sched_setattr(2) takes it; libraries before glibc 2.41 have no declaration.
struct attributes {
  uint32_t size;
  uint32_t policy;
  uint64_t flags;
  int32_t nice;
  uint32_t priority;
  uint64_t runtime, deadline, period;
};

static void run_in_turns(uint32_t policy, uint64_t nanoseconds) {
  struct attributes attributes = {
    .size = sizeof attributes,
    .policy = policy,
    .nice = getpriority(PRIO_PROCESS, 0),
    .runtime = nanoseconds,
  };
  syscall(SYS_sched_setattr, 0, &attributes, 0);
}

// The shortest that the kernel takes is 100 microseconds; a turn of a busy loop is about as long.
void cms_run_in_short_turns(void) { run_in_turns(SCHED_OTHER, 200000); }

void cms_run_beside(void) {
  // With a smaller share too, a worker would never wait for this thread; but so would whoever waits for what it does:
  // configuration, readiness, certificates. With turns this short it gives up little where it lets others run.
  run_in_turns(SCHED_BATCH, 100000);
}

void cms_let_others_run(void) {
  if (!SIMULATED) sched_yield();
}

int cms_stream_socket(int family) {
  if (SIMULATED) return (int)told(simulated->stream_socket(simulated->context, family));
  return socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

int cms_accept(int fd, struct sockaddr_storage *peer, socklen_t *length) {
  if (SIMULATED) return (int)told(simulated->accept(simulated->context, fd, peer, length));
  return accept4(fd, (struct sockaddr *)peer, length, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

int cms_eventfd(void) {
  if (SIMULATED) return (int)told(simulated->event_create(simulated->context));
  return eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
}

void cms_event_raise(int fd) {
  if (SIMULATED) return simulated->event_raise(simulated->context, fd);
  eventfd_write(fd, 1);
}

void cms_event_take(int fd) {
  if (SIMULATED) return simulated->event_take(simulated->context, fd);
  eventfd_t value;
  eventfd_read(fd, &value);
}

static uint64_t nanoseconds(clockid_t clock) {
  struct timespec time;
  clock_gettime(clock, &time);
  return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

uint64_t cms_monotonic_nanoseconds(void) {
  if (SIMULATED) return simulated->monotonic(simulated->context);
  return nanoseconds(CLOCK_MONOTONIC);
}

uint64_t cms_wall_nanoseconds(void) {
  if (SIMULATED) return simulated->wall(simulated->context);
  return nanoseconds(CLOCK_REALTIME);
}

int cms_set_reset_on_close(int fd) {
  if (SIMULATED) {
    simulated->reset_on_close(simulated->context, fd);
    return 0;
  }
  struct linger linger = {1, 0};
  return setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
}

void cms_acknowledge_now(int fd) {
  if (SIMULATED) return;
  int one = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &one, sizeof one);
}

uint64_t cms_bytes_acknowledged(int fd) {
  if (SIMULATED) return simulated->bytes_acknowledged(simulated->context, fd);
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

int cms_random(void *bytes, size_t length) {
  if (SIMULATED) return (int)told(simulated->fill_random(simulated->context, bytes, length));
  return getrandom(bytes, length, 0) == (ssize_t)length ? 0 : -1;
}

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
  // Fixed, or the first large block that is given back makes malloc keep all later ones.
  mallopt(M_MMAP_THRESHOLD, 256 * 1024);
  mallopt(M_TRIM_THRESHOLD, 512 * 1024);
#else
  (void)count;
#endif
}

// Clean pages of the program's file are read again, from the page cache, when they are next used.
static int forget_segments(struct dl_phdr_info *info, size_t size, void *context) {
  (void)size;
  (void)context;
  if (info->dlpi_name[0] != 0) return 0;
  uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
  for (int index = 0; index < info->dlpi_phnum; index++) {
    const ElfW(Phdr) *segment = info->dlpi_phdr + index;
    if (segment->p_type != PT_LOAD || segment->p_flags & PF_W) continue;
    uintptr_t begin = (info->dlpi_addr + segment->p_vaddr + page - 1) & ~(page - 1);
    uintptr_t end = (info->dlpi_addr + segment->p_vaddr + segment->p_filesz) & ~(page - 1);
    if (begin < end) madvise((void *)begin, end - begin, MADV_DONTNEED);
  }
  return 1;
}

void cms_forget_program(void) { dl_iterate_phdr(forget_segments, NULL); }

void cms_release_memory(void) {
#ifdef __GLIBC__
  malloc_trim(0);
#endif
}

// Past the C library: its own calls let a thread be cancelled in them, and keep account of that each time.
ssize_t cms_send(int fd, const void *bytes, size_t count) {
  if (SIMULATED) return told(simulated->send(simulated->context, fd, bytes, count));
  return syscall(SYS_sendto, fd, bytes, count, MSG_NOSIGNAL, NULL, 0);
}

ssize_t cms_send_pieces(int fd, const struct iovec *pieces, int count) {
  if (SIMULATED) {
    ssize_t sent = 0;
    for (int index = 0; index < count; index++) {
      if (pieces[index].iov_len == 0) continue;
      ssize_t taken =
        simulated->send(simulated->context, fd, pieces[index].iov_base, pieces[index].iov_len);
      if (taken < 0) return sent > 0 ? sent : told(taken);
      sent += taken;
      if ((size_t)taken < pieces[index].iov_len) return sent;
    }
    return sent;
  }
  struct msghdr message = {.msg_iov = (struct iovec *)pieces, .msg_iovlen = (size_t)count};
  return sendmsg(fd, &message, MSG_NOSIGNAL);
}

ssize_t cms_receive(int fd, void *bytes, size_t count) {
  if (SIMULATED) return told(simulated->receive(simulated->context, fd, bytes, count));
  return syscall(SYS_recvfrom, fd, bytes, count, 0, NULL, NULL);
}

void cms_close(int fd) {
  if (SIMULATED) return simulated->close(simulated->context, fd);
  close(fd);
}

int cms_connect(int fd, const struct sockaddr *address, socklen_t length) {
  if (SIMULATED) return (int)told(simulated->connect(simulated->context, fd, address, length));
  return connect(fd, address, length);
}

int cms_pending_error(int fd) {
  if (SIMULATED) return simulated->pending_error(simulated->context, fd);
  int code = 0;
  socklen_t length = sizeof code;
  return getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &length) == 0 ? code : errno;
}

int cms_local_address(int fd, struct sockaddr_storage *address, socklen_t *length) {
  if (SIMULATED) return (int)told(simulated->local_address(simulated->context, fd, address, length));
  return getsockname(fd, (struct sockaddr *)address, length);
}

void cms_no_delay(int fd) {
  if (SIMULATED) return;
  int one = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

void cms_shutdown_write(int fd) {
  if (SIMULATED) return simulated->shutdown_write(simulated->context, fd);
  shutdown(fd, SHUT_WR);
}
