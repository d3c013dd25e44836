#include "outbox.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_LOG_LINES 200 /* waiting ones; more are dropped, so that a broker that hangs costs no memory */
#define LOG_LINE 512

struct log_line {
    int level;
    char text[LOG_LINE];
};

struct outbox {
    pthread_mutex_t lock;
    struct log_line *lines;
    size_t line_count;
    struct id *devices;
    size_t device_count, device_size;
};

struct outbox *outbox_new(void)
{
    struct outbox *outbox = calloc(1, sizeof *outbox);

    if (!outbox)
        abort();
    pthread_mutex_init(&outbox->lock, NULL);
    outbox->lines = calloc(MAX_LOG_LINES, sizeof *outbox->lines);
    if (!outbox->lines)
        abort();
    return outbox;
}

void outbox_free(struct outbox *outbox)
{
    pthread_mutex_destroy(&outbox->lock);
    free(outbox->lines);
    free(outbox->devices);
    free(outbox);
}

void outbox_log(struct outbox *outbox, int level, const char *format, ...)
{
    va_list arguments;

    pthread_mutex_lock(&outbox->lock);
    if (outbox->line_count < MAX_LOG_LINES) {
        struct log_line *line = &outbox->lines[outbox->line_count++];
        line->level = level;
        va_start(arguments, format);
        vsnprintf(line->text, sizeof line->text, format, arguments);
        va_end(arguments);
    }
    pthread_mutex_unlock(&outbox->lock);
}

void outbox_end_sessions(struct outbox *outbox, struct id device)
{
    pthread_mutex_lock(&outbox->lock);
    if (outbox->device_count == outbox->device_size) {
        outbox->device_size = outbox->device_size ? 2 * outbox->device_size : 64;
        outbox->devices = realloc(outbox->devices, outbox->device_size * sizeof *outbox->devices);
        if (!outbox->devices)
            abort();
    }
    outbox->devices[outbox->device_count++] = device;
    pthread_mutex_unlock(&outbox->lock);
}

static bool next_line(struct outbox *outbox, struct log_line *out)
{
    pthread_mutex_lock(&outbox->lock);
    bool any = outbox->line_count > 0;
    if (any) {
        *out = outbox->lines[0];
        memmove(outbox->lines, outbox->lines + 1, --outbox->line_count * sizeof *outbox->lines);
    }
    pthread_mutex_unlock(&outbox->lock);
    return any;
}

static bool next_device(struct outbox *outbox, struct id *out)
{
    pthread_mutex_lock(&outbox->lock);
    bool any = outbox->device_count > 0;
    if (any)
        *out = outbox->devices[--outbox->device_count];
    pthread_mutex_unlock(&outbox->lock);
    return any;
}

void outbox_empty(struct outbox *outbox, const struct outbox_actions *actions, void *context, size_t limit)
{
    struct log_line line;
    struct id device;

    while (next_line(outbox, &line))
        actions->log(line.level, line.text, context);
    while (limit-- && next_device(outbox, &device))
        actions->end_sessions(device, context);
}
