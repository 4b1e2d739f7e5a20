// A load generator for HTTP/1.1 over plain TCP or TLS, closed loop or at a fixed rate.
//
// Closed loop: every connection sends its next request as soon as it has the answer to the last one.
// Fixed rate: request k is due at start + k/rate, on connection k mod N. Its latency counts from when it was *due*, so
// that a stall shows in every request it held up (no coordinated omission).
//
// With --warmup S the first S seconds do not count: at their end an empty line is printed, at the end of the run the
// result, and the connections are kept until standard input is closed. What stands around the run (handshakes, the end
// of connections) can so be kept out of what is measured on the other side.
//
// With --samples FILE every answered request is written there: when it was due (CLOCK_MONOTONIC) and how long it took,
// both in nanoseconds, as two 64-bit numbers.
//
// Prints one JSON object. What counts as failed: no connection, a connection that ends inside an answer or before one,
// an answer that is not HTTP, and (counted apart, by status) answers of 500 and above. A kept-alive connection that the
// server closed before the first byte of an answer is opened again and the request sent once more, as HTTP clients do;
// those are reported as "stale".
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>
#ifndef NO_TLS
#include <openssl/err.h>
#include <openssl/ssl.h>
#endif

enum { READ_SIZE = 256 * 1024, HEAD_MAX = 16 * 1024, HISTOGRAM = 64 * 128 };
enum body { BODY_LENGTH, BODY_CHUNKED, BODY_UNTIL_CLOSE };

typedef struct {
  int fd;
  bool connected, handshaken, busy, reused, retried;
  uint64_t sent_ns;       // when the outstanding request was due
  uint64_t due, started;  // fixed rate: requests due and begun on this connection
  size_t written;         // bytes of the request written so far
  char head[HEAD_MAX];
  size_t head_length;
  bool in_body, close_after;
  enum body body;
  uint64_t body_left;
  int chunk_state;  // 0 size, 1 extension, 2 data, 3 after data, 4 trailer line start, 5 trailer line
  int status;
#ifndef NO_TLS
  SSL *ssl;
  SSL_SESSION *session;
#endif
} connection;

static struct {
  const char *address, *path, *host, *method, *cert, *key, *alpn, *sni;
  int port, connections;
  double seconds, rate, warmup;
  uint64_t maximum;
  bool tls;
} options = {"127.0.0.1", "/", "bench", "GET", NULL, NULL, NULL, NULL, 0, 64, 5, 0, 0, 0, false};

static char request[8192], extra[4096];
static size_t request_length;
static char buffer[READ_SIZE];
static int poller;
static struct sockaddr_in server;
static uint64_t statuses[600], requests, failed, connect_failed, reset, malformed, stale, bytes, latency[HISTOGRAM];
static uint64_t latency_max, begun;
static volatile sig_atomic_t stopping;
static FILE *samples;
#ifndef NO_TLS
static SSL_CTX *context;
#endif

static void stop(int signal_number) { (void)signal_number; stopping = 1; }

static uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

// Log-linear histogram over nanoseconds: 128 steps per power of two, so 0.8 % of error at most.
static int bucket(uint64_t ns) {
  if (ns < 128) return (int)ns;
  int power = 63 - __builtin_clzll(ns);
  return (power - 6) * 128 + (int)((ns >> (power - 7)) & 127);
}
static double bucket_ns(int index) {
  if (index < 128) return index;
  int power = index / 128 + 6;
  return (double)((1ull << power) + ((uint64_t)(index % 128) << (power - 7)));
}
static double percentile(double share) {
  uint64_t total = 0, seen = 0;
  for (int i = 0; i < HISTOGRAM; i++) total += latency[i];
  if (total == 0) return 0;
  uint64_t wanted = (uint64_t)(share * (double)total);
  for (int i = 0; i < HISTOGRAM; i++) {
    seen += latency[i];
    if (seen > wanted) return bucket_ns(i);
  }
  return (double)latency_max;
}

static void begin_connect(connection *c);
static void send_more(connection *c);

static void finish_connection(connection *c) {
#ifndef NO_TLS
  if (c->ssl) {
    SSL_free(c->ssl);
    c->ssl = NULL;
  }
#endif
  if (c->fd >= 0) close(c->fd);
  c->fd = -1;
  c->connected = c->handshaken = false;
}

static void restart(connection *c) {
  finish_connection(c);
  c->head_length = 0;
  c->in_body = false;
  c->reused = false;
  c->written = 0;
  begin_connect(c);
}

// The outstanding request has failed; `counter` says how.
static void fail(connection *c, uint64_t *counter) {
  if (c->busy) {
    failed++;
    (*counter)++;
    c->busy = false;
    c->started++;
  }
  c->retried = false;
  restart(c);
}

static void lost(connection *c) {
  if (!c->busy) {
    restart(c);
  } else if (c->reused && c->head_length == 0 && !c->in_body && !c->retried) {
    stale++;
    c->retried = true;
    restart(c);
  } else {
    fail(c, &reset);
  }
}

static void begin_request(connection *c, uint64_t due) {
  if (options.maximum && begun >= options.maximum) return;
  begun++;
  c->busy = true;
  c->sent_ns = due;
  c->written = 0;
  c->head_length = 0;
  c->in_body = false;
  send_more(c);
}

static uint64_t run_start;

static void next_request(connection *c, int index) {
  if (stopping || c->busy || !c->handshaken) return;
  if (options.rate <= 0) {
    begin_request(c, now_ns());
  } else if (c->started < c->due) {
    double k = (double)(c->started * (uint64_t)options.connections + (uint64_t)index);
    begin_request(c, run_start + (uint64_t)(k * 1e9 / options.rate));
  }
}

static connection *all;

static void answered(connection *c) {
  uint64_t took = now_ns() - c->sent_ns;
  latency[bucket(took)]++;
  if (took > latency_max) latency_max = took;
  if (samples) fwrite((uint64_t[]){c->sent_ns, took}, sizeof(uint64_t), 2, samples);
  statuses[c->status]++;
  requests++;
  c->busy = false;
  c->retried = false;
  c->reused = true;
  c->started++;
  c->head_length = 0;
  c->in_body = false;
  if (c->close_after) restart(c);
  else next_request(c, (int)(c - all));
}

static void begin_connect(connection *c) {
  if (stopping && !c->busy) return;
  c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  int one = 1;
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  if (connect(c->fd, (struct sockaddr *)&server, sizeof server) != 0 && errno != EINPROGRESS) {
    // Counted, and tried again at the next tick so that a dead server is no busy loop.
    close(c->fd);
    c->fd = -1;
    connect_failed++;
    if (c->busy) {
      failed++;
      c->busy = false;
      c->started++;
    }
    return;
  }
  struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = c};
  epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &event);
}

static long transport_read(connection *c) {
#ifndef NO_TLS
  if (c->ssl) {
    int n = SSL_read(c->ssl, buffer, READ_SIZE);
    if (n > 0) return n;
    int error = SSL_get_error(c->ssl, n);
    ERR_clear_error();
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) return -2;
    return error == SSL_ERROR_ZERO_RETURN ? 0 : -1;
  }
#endif
  ssize_t n = recv(c->fd, buffer, READ_SIZE, 0);
  return n >= 0 ? n : (errno == EAGAIN ? -2 : -1);
}

static void send_more(connection *c) {
  while (c->busy && c->written < request_length) {
    long n;
#ifndef NO_TLS
    if (c->ssl) {
      n = SSL_write(c->ssl, request + c->written, (int)(request_length - c->written));
      if (n <= 0) {
        int error = SSL_get_error(c->ssl, (int)n);
        ERR_clear_error();
        if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) return;
        return;  // the reading side reports how the connection ended
      }
    } else
#endif
    {
      n = send(c->fd, request + c->written, request_length - c->written, MSG_NOSIGNAL);
      if (n < 0) return;
    }
    c->written += (size_t)n;
  }
}

static bool handshake(connection *c) {
#ifndef NO_TLS
  if (options.tls) {
    if (!c->ssl) {
      c->ssl = SSL_new(context);
      SSL_set_fd(c->ssl, c->fd);
      if (options.sni) SSL_set_tlsext_host_name(c->ssl, options.sni);
      if (options.alpn) {
        unsigned char list[64];
        size_t length = strlen(options.alpn) & 0x3f;
        list[0] = (unsigned char)length;
        memcpy(list + 1, options.alpn, length);
        SSL_set_alpn_protos(c->ssl, list, (unsigned)length + 1);
      }
      SSL_set_connect_state(c->ssl);
    }
    int n = SSL_do_handshake(c->ssl);
    if (n != 1) {
      int error = SSL_get_error(c->ssl, n);
      ERR_clear_error();
      if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) return false;
      finish_connection(c);
      connect_failed++;
      if (c->busy) failed++, c->busy = false, c->started++;
      return false;
    }
  }
#endif
  c->handshaken = true;
  return true;
}

// Reads what the head says: status, framing, whether the connection ends. False when it is not HTTP/1.x.
static bool read_head(connection *c) {
  c->head[c->head_length] = 0;
  if (strncmp(c->head, "HTTP/1.", 7) != 0) return false;
  c->status = atoi(c->head + 9);
  if (c->status < 100 || c->status > 599) return false;
  c->close_after = c->head[7] == '0';
  c->body = BODY_UNTIL_CLOSE;
  for (char *line = strstr(c->head, "\r\n"); line && line[2] != '\r'; line = strstr(line + 2, "\r\n")) {
    char *field = line + 2;
    if (strncasecmp(field, "content-length:", 15) == 0) {
      c->body = BODY_LENGTH;
      c->body_left = strtoull(field + 15, NULL, 10);
    } else if (strncasecmp(field, "transfer-encoding:", 18) == 0) {
      c->body = BODY_CHUNKED;
      c->chunk_state = 0;
      c->body_left = 0;
    } else if (strncasecmp(field, "connection:", 11) == 0 && strncasecmp(field + 11 + (field[11] == ' '), "close", 5) == 0) {
      c->close_after = true;
    }
  }
  if (c->status == 204 || c->status == 304 || strcmp(options.method, "HEAD") == 0) c->body = BODY_LENGTH, c->body_left = 0;
  if (c->body == BODY_UNTIL_CLOSE) c->close_after = true;
  return true;
}

// Walks over chunked framing; returns the bytes used, and sets *done at the end of the body.
static size_t chunked(connection *c, const char *data, size_t length, bool *done) {
  size_t i = 0;
  while (i < length) {
    char byte = data[i];
    switch (c->chunk_state) {
    case 0:
      if (byte == '\r' || byte == ';') c->chunk_state = 1;
      else c->body_left = c->body_left * 16 + (uint64_t)(byte <= '9' ? byte - '0' : (byte | 32) - 'a' + 10);
      i++;
      break;
    case 1:
      if (byte == '\n') c->chunk_state = c->body_left ? 2 : 4;
      i++;
      break;
    case 2: {
      size_t take = length - i < c->body_left ? length - i : (size_t)c->body_left;
      c->body_left -= take;
      i += take;
      if (c->body_left == 0) c->chunk_state = 3;
      break;
    }
    case 3:
      if (byte == '\n') c->chunk_state = 0;
      i++;
      break;
    case 4:
      if (byte == '\n') { *done = true; return i + 1; }
      if (byte != '\r') c->chunk_state = 5;
      i++;
      break;
    default:
      if (byte == '\n') c->chunk_state = 4;
      i++;
    }
  }
  return i;
}

// Takes in received bytes. False when the connection was given up.
static bool take(connection *c, const char *data, size_t length) {
  bytes += length;
  while (length > 0) {
    if (!c->busy) return true;
    if (!c->in_body) {
      size_t before = c->head_length, room = HEAD_MAX - 1 - before;
      size_t copy = length < room ? length : room;
      memcpy(c->head + before, data, copy);
      c->head_length += copy;
      size_t from = before > 3 ? before - 3 : 0;
      char *end = memmem(c->head + from, c->head_length - from, "\r\n\r\n", 4);
      if (!end) {
        if (c->head_length >= HEAD_MAX - 1) { fail(c, &malformed); return false; }
        return true;
      }
      size_t head = (size_t)(end - c->head) + 4, used = head - before;
      c->head_length = head;
      if (!read_head(c)) { fail(c, &malformed); return false; }
      data += used;
      length -= used;
      if (c->status < 200 && c->status != 101) { c->head_length = 0; continue; }
      c->in_body = true;
      if (c->body == BODY_LENGTH && c->body_left == 0) { answered(c); return c->fd >= 0; }
      continue;
    }
    if (c->body == BODY_LENGTH) {
      size_t used = length < c->body_left ? length : (size_t)c->body_left;
      c->body_left -= used;
      data += used;
      length -= used;
      if (c->body_left == 0) { answered(c); return c->fd >= 0; }
    } else if (c->body == BODY_CHUNKED) {
      bool done = false;
      size_t used = chunked(c, data, length, &done);
      data += used;
      length -= used;
      if (done) { answered(c); return c->fd >= 0; }
    } else {
      return true;
    }
  }
  return true;
}

static void on_event(connection *c, uint32_t events) {
  if (!c->connected) {
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error || (events & (EPOLLERR | EPOLLHUP))) {
      finish_connection(c);
      connect_failed++;
      if (c->busy) failed++, c->busy = false, c->started++;
      return;
    }
    if (!(events & EPOLLOUT)) return;
    c->connected = true;
  }
  if (!c->handshaken) {
    if (!handshake(c)) return;
    if (!c->busy) next_request(c, (int)(c - all));
  }
  if (c->busy && c->written < request_length) send_more(c);
  for (;;) {
    int fd = c->fd;
    long n = transport_read(c);
    if (n == -2) return;
    if (n <= 0) {
      if (n == 0 && c->busy && c->in_body && c->body == BODY_UNTIL_CLOSE) answered(c);
      else lost(c);
      return;
    }
    if (!take(c, buffer, (size_t)n) || c->fd != fd) return;
    if (n < 4096 && !options.tls && !(events & EPOLLRDHUP)) return;
  }
}

static void parse(int argc, char **argv) {
  static const struct option names[] = {
      {"address", 1, 0, 'a'}, {"port", 1, 0, 'p'}, {"connections", 1, 0, 'c'}, {"seconds", 1, 0, 's'},
      {"rate", 1, 0, 'r'},    {"path", 1, 0, 'u'}, {"host", 1, 0, 'h'},        {"method", 1, 0, 'm'},
      {"header", 1, 0, 'H'},  {"tls", 0, 0, 't'},  {"cert", 1, 0, 'C'},        {"key", 1, 0, 'K'},
      {"alpn", 1, 0, 'A'},    {"sni", 1, 0, 'S'},  {"requests", 1, 0, 'n'},
      {"warmup", 1, 0, 'w'},  {"samples", 1, 0, 'o'}, {0, 0, 0, 0}};
  int option;
  while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) {
    switch (option) {
    case 'a': options.address = optarg; break;
    case 'p': options.port = atoi(optarg); break;
    case 'c': options.connections = atoi(optarg); break;
    case 's': options.seconds = atof(optarg); break;
    case 'r': options.rate = atof(optarg); break;
    case 'u': options.path = optarg; break;
    case 'h': options.host = optarg; break;
    case 'm': options.method = optarg; break;
    case 'n': options.maximum = strtoull(optarg, NULL, 10); break;
    case 'H':
      if (strlen(extra) + strlen(optarg) + 3 < sizeof extra) strcat(strcat(extra, optarg), "\r\n");
      break;
    case 'w': options.warmup = atof(optarg); break;
    case 'o':
      samples = fopen(optarg, "w");
      if (samples == NULL) {
        fprintf(stderr, "load: %s cannot be written\n", optarg);
        exit(2);
      }
      break;
    case 't': options.tls = true; break;
    case 'C': options.cert = optarg; break;
    case 'K': options.key = optarg; break;
    case 'A': options.alpn = optarg; break;
    case 'S': options.sni = optarg; break;
    default:
      fprintf(stderr, "load: see the table of options in %s\n", __FILE__);
      exit(2);
    }
  }
  if (options.port == 0 || options.connections < 1) {
    fprintf(stderr, "load: --port is needed, and at least one connection\n");
    exit(2);
  }
}

static void prepare_tls(void) {
  if (!options.tls) return;
#ifdef NO_TLS
  fprintf(stderr, "load: built without TLS\n");
  exit(2);
#else
  context = SSL_CTX_new(TLS_client_method());
  SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  if (options.cert && (SSL_CTX_use_certificate_chain_file(context, options.cert) != 1 ||
                       SSL_CTX_use_PrivateKey_file(context, options.key, SSL_FILETYPE_PEM) != 1)) {
    fprintf(stderr, "load: the certificate or its key cannot be read\n");
    exit(2);
  }
#endif
}

static void report(double seconds) {
  uint64_t server_errors = 0;
  for (int i = 500; i < 600; i++) server_errors += statuses[i];
  printf("{\"requests\":%lu,\"failed\":%lu,\"server_errors\":%lu,\"connect_failed\":%lu,\"reset\":%lu,\"malformed\":%lu,"
         "\"stale\":%lu,\"bytes\":%lu,\"seconds\":%.4f,\"rps\":%.1f,\"p50_us\":%.1f,\"p90_us\":%.1f,\"p99_us\":%.1f,"
         "\"p999_us\":%.1f,\"max_us\":%.1f,\"statuses\":{",
         requests, failed, server_errors, connect_failed, reset, malformed, stale, bytes, seconds,
         (double)requests / seconds, percentile(.5) / 1e3, percentile(.9) / 1e3, percentile(.99) / 1e3,
         percentile(.999) / 1e3, (double)latency_max / 1e3);
  const char *comma = "";
  for (int i = 0; i < 600; i++)
    if (statuses[i]) printf("%s\"%d\":%lu", comma, i, statuses[i]), comma = ",";
  printf("}}\n");
}

// The warm-up is over: what was counted so far does not count.
static void end_warmup(void) {
  requests = failed = connect_failed = reset = malformed = stale = bytes = latency_max = 0;
  memset(statuses, 0, sizeof statuses);
  memset(latency, 0, sizeof latency);
  printf("\n");
  fflush(stdout);
}

// Marks the requests that have become due, begins them on idle connections, and opens lost connections again.
static void tick(uint64_t now, uint64_t *due) {
  if (options.rate > 0) {
    while (run_start + (uint64_t)((double)*due * 1e9 / options.rate) <= now) {
      int index = (int)(*due % (uint64_t)options.connections);
      all[index].due++;
      (*due)++;
      next_request(&all[index], index);
    }
  }
}

int main(int argc, char **argv) {
  parse(argc, argv);
  prepare_tls();
  signal(SIGPIPE, SIG_IGN);
  signal(SIGTERM, stop);
  signal(SIGINT, stop);
  request_length = (size_t)snprintf(request, sizeof request, "%s %s HTTP/1.1\r\nHost: %s\r\n%s\r\n", options.method,
                                    options.path, options.host, extra);
  server.sin_family = AF_INET;
  server.sin_port = htons((uint16_t)options.port);
  inet_pton(AF_INET, options.address, &server.sin_addr);
  poller = epoll_create1(EPOLL_CLOEXEC);
  int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
  epoll_ctl(poller, EPOLL_CTL_ADD, timer, &event);
  all = calloc((size_t)options.connections, sizeof *all);

  run_start = now_ns();
  uint64_t due = 0, next_reopen = run_start + 10000000, warm = run_start + (uint64_t)(options.warmup * 1e9);
  uint64_t end = warm + (uint64_t)(options.seconds * 1e9), counted_from = run_start;
  for (int i = 0; i < options.connections; i++) {
    all[i].fd = -1;
    begin_connect(&all[i]);
  }
  while (!stopping) {
    uint64_t now = now_ns();
    if (now >= end || (options.maximum && requests + failed >= options.maximum)) break;
    if (options.warmup > 0 && now >= warm && counted_from == run_start) {
      end_warmup();
      counted_from = now;
    }
    tick(now, &due);
    if (now >= next_reopen) {
      next_reopen = now + 10000000;
      for (int i = 0; i < options.connections; i++)
        if (all[i].fd < 0) restart(&all[i]);
    }
    uint64_t wake = end < next_reopen ? end : next_reopen;
    if (options.rate > 0) {
      uint64_t next = run_start + (uint64_t)((double)due * 1e9 / options.rate);
      if (next < wake) wake = next;
    }
    struct itimerspec at = {.it_value = {(time_t)(wake / 1000000000u), (long)(wake % 1000000000u)}};
    timerfd_settime(timer, TFD_TIMER_ABSTIME, &at, NULL);
    struct epoll_event events[256];
    int count = epoll_wait(poller, events, 256, 100);
    for (int i = 0; i < count; i++) {
      connection *c = events[i].data.ptr;
      if (c == NULL) {
        uint64_t fired;
        (void)!read(timer, &fired, sizeof fired);
      } else if (c->fd >= 0) {
        on_event(c, events[i].events);
      }
    }
  }
  report((double)(now_ns() - counted_from) / 1e9);
  fflush(stdout);
  if (samples) fclose(samples);
  if (options.warmup > 0) (void)!read(STDIN_FILENO, buffer, 1);
  return failed ? 1 : 0;
}
