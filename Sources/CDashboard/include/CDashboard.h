#ifndef CDASHBOARD_H
#define CDASHBOARD_H

#include <stddef.h>

/// A file of the dashboard, as it lies in `Files/`.
typedef struct {
  const char *name;
  const char *content_type;
  const unsigned char *bytes;
  size_t count;
} cdb_file;

/// The file with this number, from 0; a file without a name behind the last.
cdb_file cdb_file_at(size_t number);

#endif
