#pragma once
// The few system calls whose C declarations Swift cannot import as they are.
#include <netinet/in.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/un.h>

/// Stands in for the kernel on one thread, so that loops run against a simulated one. Every function gets `context`; it
/// returns what the call returns, and where that fails the negated errno.
struct cms_kernel {
  void *context;
  uint64_t (*monotonic)(void *context);
  uint64_t (*wall)(void *context);
  int (*fill_random)(void *context, void *bytes, size_t length);
  int (*epoll_create)(void *context);
  int (*epoll_add)(void *context, int epoll, int fd, void *data, int is_edge_triggered);
  int (*epoll_remove)(void *context, int epoll, int fd);
  int (*epoll_wait)(void *context, int epoll, struct epoll_event *events, int capacity, int milliseconds);
  int (*event_create)(void *context);
  void (*event_raise)(void *context, int fd);
  void (*event_take)(void *context, int fd);
  int (*stream_socket)(void *context, int family);
  int (*connect)(void *context, int fd, const struct sockaddr *address, socklen_t length);
  int (*accept)(void *context, int fd, struct sockaddr_storage *peer, socklen_t *length);
  ssize_t (*receive)(void *context, int fd, void *bytes, size_t count);
  ssize_t (*send)(void *context, int fd, const void *bytes, size_t count);
  void (*shutdown_write)(void *context, int fd);
  void (*reset_on_close)(void *context, int fd);
  void (*close)(void *context, int fd);
  int (*pending_error)(void *context, int fd);
  uint64_t (*bytes_acknowledged)(void *context, int fd);
  int (*local_address)(void *context, int fd, struct sockaddr_storage *address, socklen_t *length);
};

/// Puts `kernel` in the place of the real one for the calling thread; null, which is what every thread begins with,
/// for the real one. The structure must stay where it is.
void cms_use_kernel(const struct cms_kernel *kernel);

/// Registers `fd` once, edge-triggered, for reading, writing and hang-up; `context` comes back with each event.
int cms_epoll_add(int epoll, int fd, void *context);
/// Registers a listening or event descriptor level-triggered for reading.
int cms_epoll_add_level(int epoll, int fd, void *context);
/// Takes `fd` out of the set; used only where a descriptor must pause (accept back-off).
int cms_epoll_remove(int epoll, int fd);
/// Lets the thread sleep; a simulated one goes on at once.
void cms_pause(uint64_t nanoseconds);
/// Lets the calling thread's sleeps be as short as they are asked to be, instead of up to 50 microseconds longer.
void cms_pause_exactly(void);
/// The calling thread answers others: when it becomes ready to run it goes before one whose turns are longer, on kernels
/// that let threads say so (Linux 6.12 and later).
void cms_run_in_short_turns(void);
/// The calling thread works beside others that answer requests: becoming ready to run it takes nobody's processor away
/// (SCHED_BATCH). Its share of the time stays the same.
void cms_run_beside(void);
/// The calling thread goes on after those that wait for its processor, where any does. For one that runs beside others:
/// what it gives up is one of its turns, which are short.
void cms_let_others_run(void);
/// A non-blocking, close-on-exec stream socket of the family.
int cms_stream_socket(int family);
/// accept4 with non-blocking and close-on-exec; the peer's address goes to `peer`.
int cms_accept(int fd, struct sockaddr_storage *peer, socklen_t *length);
/// An event descriptor for waking a loop.
int cms_eventfd(void);
/// Monotonic time in nanoseconds.
uint64_t cms_monotonic_nanoseconds(void);
/// Wall-clock time in nanoseconds since 1970.
uint64_t cms_wall_nanoseconds(void);
/// Acknowledges what has been received without the usual delay, once.
void cms_acknowledge_now(int fd);
/// Sets SO_LINGER to zero so that close sends a reset.
int cms_set_reset_on_close(int fd);
/// Bytes that the peer's kernel has acknowledged since the connection began; the largest number where it cannot be known.
uint64_t cms_bytes_acknowledged(int fd);
/// Number of processors this process may use, bounded by the cgroup's quota (v1 and v2) and the affinity mask.
int cms_usable_processors(void);
/// Fills `length` random bytes from the kernel.
int cms_random(void *bytes, size_t length);
/// Blocks `signals` in all threads started later and returns a descriptor that reads them.
int cms_signalfd(const int *signals, int count);
/// The next signal from that descriptor, 0 if there is none.
int cms_next_signal(int fd);
/// Sets the calling thread's name (15 bytes).
void cms_name_thread(const char *name);
/// Bounds the number of the allocator's arenas.
void cms_limit_arenas(int count);
/// Gives memory that the allocator holds and does not use back to the kernel. Takes milliseconds: not for a traffic loop.
void cms_release_memory(void);
/// Gives back the pages of the program's own code and constants; those that are used come back by themselves, from the
/// page cache. Much of a program is used at its start only.
void cms_forget_program(void);
/// send without SIGPIPE.
ssize_t cms_send(int fd, const void *bytes, size_t count);
/// … of several pieces of memory, one after the other, in one call; at most 1024.
ssize_t cms_send_pieces(int fd, const struct iovec *pieces, int count);
/// Ends our direction of a connection.
void cms_shutdown_write(int fd);
/// recv without flags.
ssize_t cms_receive(int fd, void *bytes, size_t count);
/// close.
void cms_close(int fd);
/// Begins to connect.
int cms_connect(int fd, const struct sockaddr *address, socklen_t length);
/// Why an asynchronous connect failed, 0 if it did not.
int cms_pending_error(int fd);
/// getsockname.
int cms_local_address(int fd, struct sockaddr_storage *address, socklen_t *length);
/// Switches Nagle's algorithm off.
void cms_no_delay(int fd);
/// A set of descriptors to wait for.
int cms_epoll_create(void);
/// epoll_wait.
int cms_epoll_wait(int epoll, struct epoll_event *events, int capacity, int milliseconds);
/// Makes an event descriptor readable.
void cms_event_raise(int fd);
/// Makes it unreadable again.
void cms_event_take(int fd);
