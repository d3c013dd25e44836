/* The replica on disk, for restarts: lines of the feed, first a whole list, then what has changed since. It holds digests only. */
#ifndef FIRSTLIGHT_FILE_H
#define FIRSTLIGHT_FILE_H

#include "profiles.h"
#include "replica.h"

struct file;

/* `mark` is the first line: a file with another one belongs to another broker or secret, and is not read. */
struct file *file_new(const char *path, const char *mark);
void file_free(struct file *file);
/* Call `on_line` with each line until it returns false. Returns the time of the last change, 0 when there was nothing to read. */
time_t file_load(struct file *file, bool (*on_line)(const char *line, void *context), void *context);
/* Write the whole list as of `position`. Returns false with errno set when the disk does not let it. */
bool file_rewrite(struct file *file, struct replica *replica, struct profiles *profiles, const struct position *position);
/* Add a line of the feed; file_commit writes what was added. */
void file_append(struct file *file, const char *line);
bool file_commit(struct file *file);
/* Note that the list is still current, in the file's time. */
void file_touch(struct file *file);
/* Returns whether so much was appended that a whole list would be shorter. */
bool file_is_long(const struct file *file, size_t devices);

#endif
