#pragma once
// The few system calls whose C declarations Swift cannot import as they are.
#include <netinet/in.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/un.h>

/// Registers `fd` once, edge-triggered, for reading, writing and hang-up; `context` comes back with each event.
int cms_epoll_add(int epoll, int fd, void *context);
/// Registers a listening or event descriptor level-triggered for reading.
int cms_epoll_add_level(int epoll, int fd, void *context);
/// Takes `fd` out of the set; used only where a descriptor must pause (accept back-off).
int cms_epoll_remove(int epoll, int fd);
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
/// Sends two ranges in one call.
ssize_t cms_send2(int fd, const void *first, size_t first_count, const void *second, size_t second_count);
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
/// send without SIGPIPE.
ssize_t cms_send(int fd, const void *bytes, size_t count);
/// Ends our direction of a connection.
void cms_shutdown_write(int fd);
