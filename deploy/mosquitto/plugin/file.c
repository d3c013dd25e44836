#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SLACK 10000 /* lines that may be appended to a list however short it is */

struct file {
    char *path, *temporary, *mark;
    FILE *stream; /* open for appending; NULL until there is a whole list */
    size_t appended;
};

struct writing {
    FILE *stream;
    char line[MAX_LINE];
};

struct file *file_new(const char *path, const char *mark)
{
    struct file *file = calloc(1, sizeof *file);
    size_t size = strlen(path) + 5;

    if (!file || !(file->path = strdup(path)) || !(file->mark = strdup(mark)) || !(file->temporary = malloc(size)))
        abort();
    snprintf(file->temporary, size, "%s.new", path);
    return file;
}

void file_free(struct file *file)
{
    if (file->stream)
        fclose(file->stream);
    free(file->path);
    free(file->temporary);
    free(file->mark);
    free(file);
}

static bool take_line(FILE *stream, char *line, size_t size)
{
    if (!fgets(line, (int)size, stream))
        return false;
    size_t length = strlen(line);
    if (!length || line[length - 1] != '\n')
        return false; /* the broker was killed while it wrote this */
    line[length - 1] = '\0';
    return true;
}

time_t file_load(struct file *file, bool (*on_line)(const char *line, void *context), void *context)
{
    char line[MAX_LINE + 2];
    struct stat state;
    FILE *stream = *file->path ? fopen(file->path, "r+e") : NULL;

    if (!stream)
        return 0;
    if (fstat(fileno(stream), &state) != 0 || !take_line(stream, line, sizeof line) || strcmp(line, file->mark) != 0) {
        fclose(stream);
        return 0;
    }
    long good = ftell(stream);
    while (take_line(stream, line, sizeof line) && on_line(line, context)) {
        good = ftell(stream);
        file->appended++;
    }
    /* What is torn at the end goes, so that the next line is not joined to it. */
    if (ftruncate(fileno(stream), good) != 0 || fseek(stream, good, SEEK_SET) != 0) {
        fclose(stream);
        return 0;
    }
    file->stream = stream;
    return state.st_mtime;
}

static bool write_entry(const struct entry *entry, void *context)
{
    struct writing *writing = context;
    size_t length = line_format_entry(entry, writing->line, sizeof writing->line);

    return length && fwrite(writing->line, 1, length, writing->stream) == length;
}

static bool write_profiles(FILE *stream, const struct profiles *profiles)
{
    char line[MAX_LINE + 64];

    for (uint16_t number = 1; profiles_format(profiles, number, line, sizeof line); number++) {
        if (fprintf(stream, "%s\n", line) < 0)
            return false;
    }
    return true;
}

static bool write_all(struct file *file, FILE *stream, struct replica *replica, struct profiles *profiles, const struct position *position)
{
    struct writing writing = {.stream = stream};

    return fprintf(stream, "%s\nfirstlight 1 %s %s %zu\n", file->mark, position->epoch, position->cursor, replica_count(replica)) > 0 &&
           write_profiles(stream, profiles) && replica_each(replica, write_entry, &writing) &&
           fprintf(stream, "end %s\n", position->cursor) > 0 && fflush(stream) == 0 && fsync(fileno(stream)) == 0;
}

bool file_rewrite(struct file *file, struct replica *replica, struct profiles *profiles, const struct position *position)
{
    if (!*file->path)
        return true;
    int descriptor = open(file->temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    FILE *stream = descriptor < 0 ? NULL : fdopen(descriptor, "w");
    if (!stream)
        return false;
    if (!write_all(file, stream, replica, profiles, position) || rename(file->temporary, file->path) != 0) {
        int error = errno;
        fclose(stream);
        unlink(file->temporary);
        errno = error;
        return false;
    }
    if (file->stream)
        fclose(file->stream);
    file->stream = stream;
    file->appended = 0;
    return true;
}

void file_append(struct file *file, const char *line)
{
    if (!file->stream)
        return;
    fputs(line, file->stream);
    fputc('\n', file->stream);
    file->appended++;
}

bool file_commit(struct file *file)
{
    if (!file->stream || (fflush(file->stream) == 0 && !ferror(file->stream)))
        return true;
    /* Whatever is on the disk now, it is not continued: the next whole list replaces it. */
    int error = errno;
    fclose(file->stream);
    file->stream = NULL;
    unlink(file->path);
    errno = error;
    return false;
}

void file_touch(struct file *file)
{
    if (file->stream)
        futimens(fileno(file->stream), NULL);
}

bool file_is_long(const struct file *file, size_t devices)
{
    return file->stream ? file->appended > 2 * devices + SLACK : *file->path != '\0';
}
