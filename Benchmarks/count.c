// Preloaded into a program: counts allocations, and retains and releases where the Swift runtime is linked dynamically.
//
// The counters live in a file that $COUNT_FILE names (mapped, so that another process reads them at any time):
// eight unsigned 64-bit numbers, in the order of `enum counter` for all threads, then again for those that are named
// `worker-…`.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

enum counter { ALLOCATIONS, FREES, RETAINS, RELEASES, WORKERS, COUNTERS = 8 };

static _Atomic unsigned long unmapped[COUNTERS];
static _Atomic unsigned long *counters = unmapped;

static __thread __attribute__((tls_model("initial-exec"))) unsigned events;
static __thread __attribute__((tls_model("initial-exec"))) char is_worker;

static void count(enum counter which) {
  atomic_fetch_add_explicit(&counters[which], 1, memory_order_relaxed);
  // A thread is named a moment after it has begun, and keeps its name.
  if (!is_worker && (events++ < 64 || events % 1024 == 0)) {
    char name[16] = "";
    is_worker = prctl(PR_GET_NAME, name) == 0 && strncmp(name, "worker-", 7) == 0;
  }
  if (is_worker) atomic_fetch_add_explicit(&counters[WORKERS + which], 1, memory_order_relaxed);
}

__attribute__((constructor)) static void map_counters(void) {
  const char *path = getenv("COUNT_FILE");
  if (!path) return;
  int file = open(path, O_RDWR | O_CLOEXEC);
  if (file < 0) return;
  void *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  close(file);
  if (memory != MAP_FAILED) counters = memory;
}

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);
extern void __libc_free(void *);

void *malloc(size_t size) {
  count(ALLOCATIONS);
  return __libc_malloc(size);
}
void *calloc(size_t number, size_t size) {
  count(ALLOCATIONS);
  return __libc_calloc(number, size);
}
void *realloc(void *memory, size_t size) {
  count(ALLOCATIONS);
  return __libc_realloc(memory, size);
}
void *memalign(size_t alignment, size_t size) {
  count(ALLOCATIONS);
  return __libc_memalign(alignment, size);
}
void *aligned_alloc(size_t alignment, size_t size) { return memalign(alignment, size); }
int posix_memalign(void **memory, size_t alignment, size_t size) {
  void *found = memalign(alignment, size);
  if (!found) return ENOMEM;
  *memory = found;
  return 0;
}
void free(void *memory) {
  if (memory) count(FREES);
  __libc_free(memory);
}

// The runtime's functions are resolved at the first call; the race between two first calls is harmless.
#define FORWARD(result, name, counter, parameters, arguments)                 \
  result name parameters {                                                    \
    static result(*_Atomic next) parameters;                                  \
    if (!next) next = (result(*) parameters)dlsym(RTLD_NEXT, #name);          \
    count(counter);                                                           \
    return next arguments;                                                    \
  }

FORWARD(void *, swift_retain, RETAINS, (void *object), (object))
FORWARD(void *, swift_retain_n, RETAINS, (void *object, unsigned number), (object, number))
FORWARD(void *, swift_bridgeObjectRetain, RETAINS, (void *object), (object))
FORWARD(void *, swift_unknownObjectRetain, RETAINS, (void *object), (object))
FORWARD(void *, swift_weakLoadStrong, RETAINS, (void *reference), (reference))
FORWARD(void, swift_release, RELEASES, (void *object), (object))
FORWARD(void, swift_release_n, RELEASES, (void *object, unsigned number), (object, number))
FORWARD(void, swift_bridgeObjectRelease, RELEASES, (void *object), (object))
FORWARD(void, swift_unknownObjectRelease, RELEASES, (void *object), (object))
