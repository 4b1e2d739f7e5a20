// Preloaded: host names are looked up in the file that HOSTS_FILE names, one "name address" a line, read anew each time.
// An address that is a number of seconds keeps the caller waiting for so long and then fails.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef int lookup(const char *, const char *, const struct addrinfo *, struct addrinfo **);

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **found) {
  lookup *real = (lookup *)dlsym(RTLD_NEXT, "getaddrinfo");
  FILE *file = fopen(getenv("HOSTS_FILE"), "r");
  char name[256], address[256];
  while (file && fscanf(file, "%255s %255s", name, address) == 2) {
    if (strcmp(name, node)) continue;
    fclose(file);
    if (strchr(address, '.')) return real(address, service, hints, found);
    sleep((unsigned)atoi(address));
    return EAI_AGAIN;
  }
  if (file) fclose(file);
  return EAI_NONAME;
}
