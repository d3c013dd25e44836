/* What the plugin's threads want the broker's thread to do: the broker's functions may be called by that thread only. */
#ifndef FIRSTLIGHT_OUTBOX_H
#define FIRSTLIGHT_OUTBOX_H

#include "digest.h"

struct outbox;

/* Called by outbox_empty. */
struct outbox_actions {
    void (*log)(int level, const char *text, void *context);
    void (*end_sessions)(struct id device, void *context);
};

struct outbox *outbox_new(void);
void outbox_free(struct outbox *outbox);
__attribute__((format(printf, 3, 4))) void outbox_log(struct outbox *outbox, int level, const char *format, ...);
void outbox_end_sessions(struct outbox *outbox, struct id device);
/* Carry out at most `limit` queued entries; no lock is held meanwhile. */
void outbox_empty(struct outbox *outbox, const struct outbox_actions *actions, void *context, size_t limit);

#endif
