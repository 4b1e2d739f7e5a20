#define _GNU_SOURCE
#include "CApusSystem.h"

#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <errno.h>
#include <ifaddrs.h>
#include <netdb.h>
#include <netinet/in.h>
#include <resolv.h>
#include <stdlib.h>
#include <string.h>

// One message over TCP is never longer.
enum { message_capacity = 65535, wait_seconds = 2, tries = 2 };

// Sends all questions to one server instead of the system's. The list of servers holds IPv4 addresses; those of IPv6 lie
// beside it, and the place in the list is then of no family.
static int use_server(struct __res_state *state, const char *server, int port) {
  struct sockaddr_in place = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  struct sockaddr_in6 wide = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
  int is_wide = inet_pton(AF_INET6, server, &wide.sin6_addr) == 1;
  if (!is_wide && inet_pton(AF_INET, server, &place.sin_addr) != 1) return -EINVAL;
  for (int index = 0; index < MAXNS; index++) {
    free(state->_u._ext.nsaddrs[index]);
    state->_u._ext.nsaddrs[index] = NULL;
  }
  state->_u._ext.nscount = 0;
  state->nscount = 1;
  state->nsaddr_list[0] = is_wide ? (struct sockaddr_in){.sin_family = 0} : place;
  if (!is_wide) return 0;
  struct sockaddr_in6 *copy = malloc(sizeof(*copy));
  if (!copy) return -ENOMEM;
  *copy = wide;
  state->_u._ext.nsaddrs[0] = copy;
  return 0;
}

// Reads the addresses of a wanted type out of an answer. Records of other types, such as the aliases that led to the
// addresses, count for the time that the answer holds.
static int read_answer(const unsigned char *message, int length, int type, char *addresses, int capacity, int *count,
                       unsigned *ttl_seconds) {
  ns_msg parsed;
  if (ns_initparse(message, length, &parsed) != 0) return APUS_LOOKUP_NO_ANSWER;
  int family = type == ns_t_aaaa ? AF_INET6 : AF_INET;
  size_t size = type == ns_t_aaaa ? 16 : 4;
  for (int index = 0; index < ns_msg_count(parsed, ns_s_an); index++) {
    ns_rr record;
    if (ns_parserr(&parsed, ns_s_an, index, &record) != 0) return APUS_LOOKUP_NO_ANSWER;
    if (ns_rr_class(record) != ns_c_in) continue;
    if (ns_rr_ttl(record) < *ttl_seconds) *ttl_seconds = ns_rr_ttl(record);
    if ((int)ns_rr_type(record) != type || ns_rr_rdlen(record) != size || *count >= capacity) continue;
    char *place = addresses + (size_t)*count * APUS_ADDRESS_SIZE;
    if (inet_ntop(family, ns_rr_rdata(record), place, APUS_ADDRESS_SIZE)) *count += 1;
  }
  return 0;
}

int apus_lookup(const char *name, int wants_ipv6, const char *server, int port, char *addresses, int capacity,
                int *count, unsigned *ttl_seconds) {
  *count = 0;
  *ttl_seconds = UINT32_MAX;
  struct __res_state *state = calloc(1, sizeof(*state));
  unsigned char *message = malloc(message_capacity);
  int result = -ENOMEM;
  if (!state || !message) goto freed;
  if (res_ninit(state) != 0) {
    result = APUS_LOOKUP_NO_ANSWER;
    goto freed;
  }
  state->retrans = wait_seconds;
  state->retry = tries;
  result = server ? use_server(state, server, port) : 0;
  if (result != 0) goto closed;
  int type = wants_ipv6 ? ns_t_aaaa : ns_t_a;
  int length = res_nquery(state, name, ns_c_in, type, message, message_capacity);
  if (length >= 0) {
    result = read_answer(message, length > message_capacity ? message_capacity : length, type, addresses, capacity,
                         count, ttl_seconds);
  } else if (state->res_h_errno == NO_DATA) {
    result = 0;
  } else {
    result = state->res_h_errno == HOST_NOT_FOUND ? APUS_LOOKUP_NO_NAME : APUS_LOOKUP_NO_ANSWER;
  }
closed:
  res_nclose(state);
freed:
  free(message);
  free(state);
  return result;
}

int apus_has_ipv6(void) {
  struct ifaddrs *list = NULL;
  if (getifaddrs(&list) != 0) return 0;
  int found = 0;
  for (struct ifaddrs *item = list; item && !found; item = item->ifa_next) {
    if (!item->ifa_addr || item->ifa_addr->sa_family != AF_INET6) continue;
    const struct in6_addr *address = &((const struct sockaddr_in6 *)item->ifa_addr)->sin6_addr;
    found = !IN6_IS_ADDR_LOOPBACK(address) && !IN6_IS_ADDR_LINKLOCAL(address);
  }
  freeifaddrs(list);
  return found;
}
