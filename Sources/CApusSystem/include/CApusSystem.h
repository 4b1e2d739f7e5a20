// What the command line needs of the kernel and cannot say in Swift: children that never outlive their parent, signals
// as a descriptor, sockets by name. Every function returns a negative errno on failure unless it says otherwise.
#pragma once

// A child to be. The strings given are copied; `apus_command_destroy` frees them.
typedef struct apus_command apus_command;

// A child that runs the program at `path` (no search). NULL when memory is short.
apus_command *apus_command_create(const char *path);
void apus_command_destroy(apus_command *command);
// Appends an argument; the first is the name that the program sees as its own.
int apus_command_add_argument(apus_command *command, const char *argument);
// Appends `NAME=VALUE` to the environment, which begins empty.
int apus_command_add_variable(apus_command *command, const char *assignment);
// Gives the child `descriptor` as its number `slot` (0...3). Slots that are not set are inherited.
int apus_command_set_descriptor(apus_command *command, int slot, int descriptor);
// Puts the child into a process group of its own, out of reach of the terminal's signals.
void apus_command_set_own_group(apus_command *command);
// Starts the child; returns its process id. The child has no blocked signals and is killed when the calling thread ends.
// `*did_fail_in_exec` tells a program that cannot be run from a failure on the way to it.
int apus_command_spawn(const apus_command *command, int *did_fail_in_exec);

// Blocks INT, TERM, HUP, QUIT, USR1, USR2 and CHLD in the calling thread and returns a descriptor that reports them.
// To be called once, before other threads start. Ignores PIPE.
int apus_signals_open(void);
// The next signal; 0 when there is none. `*from_terminal` is 1 when the kernel sent it to the whole foreground group.
int apus_signals_next(int descriptor, int *from_terminal);
// Reaps one child that has ended: its id, 0 when there is none. `*status` is its exit status, or 128 + the signal.
int apus_reap(int *status);

// A pipe whose ends no child inherits.
int apus_pipe(int *read_end, int *write_end);

// Connects within `timeout_ms`. Names are resolved; -1000 - code for a failure of that (see `apus_resolve_error`).
int apus_connect(const char *host, const char *port, int timeout_ms);
const char *apus_resolve_error(int code);
// Listens on a numeric address; port 0 takes a free one.
int apus_listen(const char *host, const char *port);
int apus_accept(int descriptor);
int apus_local_port(int descriptor);
// Bounds each read and write on a socket; 0 for no bound.
int apus_set_timeout(int descriptor, int timeout_ms);

// Columns and rows of the terminal; 0 on success.
int apus_terminal_size(int descriptor, int *columns, int *rows);

// Bytes for an address as text, with its end.
enum { APUS_ADDRESS_SIZE = 46 };
// What `apus_lookup` answers beside 0 and a negative errno: the name is not there; no server gave an answer that can be
// used, in time.
enum { APUS_LOOKUP_NO_NAME = 1, APUS_LOOKUP_NO_ANSWER = 2 };

// Asks name servers for a name's IPv4 or IPv6 addresses and waits for the answer, at most some seconds. The name is taken
// as it is: no search list, no /etc/hosts. Answers that are too long for UDP are asked for by TCP.
// `server` (a numeric address) and `port` name the server; NULL: those of /etc/resolv.conf.
// `addresses` takes `capacity` texts of APUS_ADDRESS_SIZE bytes each, `*count` how many there are, `*ttl_seconds` for how
// long the answer holds (UINT32_MAX where it does not say). A name without such addresses is an answer of none.
int apus_lookup(const char *name, int wants_ipv6, const char *server, int port, char *addresses, int capacity,
                int *count, unsigned *ttl_seconds);
// Whether this machine has an IPv6 address that reaches further than itself and its link.
int apus_has_ipv6(void);
