#define _GNU_SOURCE
#include "CApusSystem.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

enum { slot_count = 4 };

struct string_list {
  char **items;
  size_t count;
};

struct apus_command {
  char *path;
  struct string_list arguments;
  struct string_list variables;
  int descriptors[slot_count];
  int own_group;
};

static int append(struct string_list *list, const char *text) {
  char **items = realloc(list->items, (list->count + 2) * sizeof(char *));
  if (!items) return -ENOMEM;
  list->items = items;
  char *copy = strdup(text);
  if (!copy) return -ENOMEM;
  items[list->count] = copy;
  list->count += 1;
  items[list->count] = NULL;
  return 0;
}

static void clear(struct string_list *list) {
  for (size_t index = 0; index < list->count; index++) free(list->items[index]);
  free(list->items);
}

apus_command *apus_command_create(const char *path) {
  apus_command *command = calloc(1, sizeof(apus_command));
  if (!command) return NULL;
  for (int slot = 0; slot < slot_count; slot++) command->descriptors[slot] = -1;
  command->path = strdup(path);
  if (!command->path) {
    free(command);
    return NULL;
  }
  return command;
}

void apus_command_destroy(apus_command *command) {
  if (!command) return;
  clear(&command->arguments);
  clear(&command->variables);
  free(command->path);
  free(command);
}

int apus_command_add_argument(apus_command *command, const char *argument) {
  return append(&command->arguments, argument);
}

int apus_command_add_variable(apus_command *command, const char *assignment) {
  return append(&command->variables, assignment);
}

int apus_command_set_descriptor(apus_command *command, int slot, int descriptor) {
  if (slot < 0 || slot >= slot_count) return -EINVAL;
  command->descriptors[slot] = descriptor;
  return 0;
}

void apus_command_set_own_group(apus_command *command) { command->own_group = 1; }

// Puts the descriptors where the child expects them. Sources are first moved above the slots, so that none is
// overwritten before its turn.
static int place_descriptors(const apus_command *command) {
  int moved[slot_count];
  for (int slot = 0; slot < slot_count; slot++) {
    moved[slot] = -1;
    if (command->descriptors[slot] < 0) continue;
    moved[slot] = fcntl(command->descriptors[slot], F_DUPFD_CLOEXEC, slot_count);
    if (moved[slot] < 0) return -1;
  }
  for (int slot = 0; slot < slot_count; slot++) {
    if (moved[slot] >= 0 && dup2(moved[slot], slot) < 0) return -1;
  }
  return 0;
}

// Between fork and exec: only calls that are safe there (POSIX, "async-signal-safe").
static void become(const apus_command *command, pid_t parent, int report) {
  static char *const nothing[] = {NULL};
  int where = 0;
  if (command->own_group && setpgid(0, 0) != 0) goto failed;
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) goto failed;
  if (getppid() != parent) _exit(128 + SIGKILL);
  // The report's descriptor must not stand where a slot goes.
  if (report < slot_count) report = fcntl(report, F_DUPFD_CLOEXEC, slot_count);
  if (place_descriptors(command) != 0) goto failed;
  if (signal(SIGPIPE, SIG_DFL) == SIG_ERR) goto failed;
  sigset_t none;
  sigemptyset(&none);
  if (sigprocmask(SIG_SETMASK, &none, NULL) != 0) goto failed;
  where = 1;
  execve(command->path, command->arguments.items ? command->arguments.items : nothing,
         command->variables.items ? command->variables.items : nothing);
failed:;
  int failure[2] = {where, errno};
  ssize_t written = write(report, failure, sizeof failure);
  (void)written;
  _exit(127);
}

int apus_command_spawn(const apus_command *command, int *did_fail_in_exec) {
  int report[2];
  *did_fail_in_exec = 0;
  if (pipe2(report, O_CLOEXEC) != 0) return -errno;
  pid_t parent = getpid();
  pid_t child = fork();
  if (child < 0) {
    int error = errno;
    close(report[0]);
    close(report[1]);
    return -error;
  }
  if (child == 0) {
    close(report[0]);
    become(command, parent, report[1]);
  }
  close(report[1]);
  int failure[2];
  ssize_t count;
  do {
    count = read(report[0], failure, sizeof failure);
  } while (count < 0 && errno == EINTR);
  close(report[0]);
  if (count != (ssize_t)sizeof failure) return child;
  waitpid(child, NULL, 0);
  *did_fail_in_exec = failure[0];
  return -failure[1];
}

int apus_signals_open(void) {
  sigset_t set;
  sigemptyset(&set);
  const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGCHLD};
  for (size_t index = 0; index < sizeof signals / sizeof *signals; index++) sigaddset(&set, signals[index]);
  if (sigprocmask(SIG_BLOCK, &set, NULL) != 0) return -errno;
  signal(SIGPIPE, SIG_IGN);
  int descriptor = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  return descriptor < 0 ? -errno : descriptor;
}

int apus_signals_next(int descriptor, int *from_terminal) {
  struct signalfd_siginfo info;
  ssize_t count = read(descriptor, &info, sizeof info);
  if (count != (ssize_t)sizeof info) return 0;
  *from_terminal = info.ssi_code == SI_KERNEL;
  return (int)info.ssi_signo;
}

int apus_reap(int *status) {
  int raw = 0;
  pid_t child;
  do {
    child = waitpid(-1, &raw, WNOHANG);
  } while (child < 0 && errno == EINTR);
  if (child <= 0) return 0;
  *status = WIFSIGNALED(raw) ? 128 + WTERMSIG(raw) : WEXITSTATUS(raw);
  return child;
}

int apus_pipe(int *read_end, int *write_end) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return -errno;
  *read_end = ends[0];
  *write_end = ends[1];
  return 0;
}

int apus_terminal_size(int descriptor, int *columns, int *rows) {
  struct winsize size;
  if (ioctl(descriptor, TIOCGWINSZ, &size) != 0) return -errno;
  *columns = size.ws_col;
  *rows = size.ws_row;
  return 0;
}
