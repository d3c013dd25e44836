/* The lines of the feed and of the stored file, read and written. FEED.md describes them. */
#ifndef FIRSTLIGHT_LINES_H
#define FIRSTLIGHT_LINES_H

#include "digest.h"

#define MAX_LINE 4096
#define MAX_POSITION 3000 /* PostgreSQL names every open transaction in it */
#define MAX_NAME 1020 /* 255 characters of at most four bytes */

enum entry_flag {
    ENTRY_GATEWAY = 1,
    ENTRY_PASSWORD = 2, /* `password` must match; without it any password is accepted */
};

/* One device that may connect. */
struct entry {
    struct id device;
    struct id lookup;
    struct id password;
    uint8_t flags;
    uint16_t profile;
    char name[MAX_NAME + 1];
};

/* Where a reader of the feed is: an epoch of the event log, and a cursor in it. Both are opaque. */
struct position {
    char epoch[MAX_POSITION + 1];
    char cursor[MAX_POSITION + 1];
};

enum line_kind { LINE_BAD, LINE_HEADER, LINE_PUT, LINE_REMOVE, LINE_PROFILE, LINE_END };

struct line {
    enum line_kind kind;
    struct position position; /* LINE_HEADER; LINE_END has the cursor alone */
    unsigned long count;      /* LINE_HEADER: about how many entries follow */
    struct entry entry;       /* LINE_PUT; LINE_REMOVE has the device alone */
    uint16_t profile;         /* LINE_PROFILE: its number in this answer, */
    struct id profile_id;     /* its id, */
    const char *rest;         /* its name and patterns, still encoded, inside the text that was read */
};

/* Read one line without its line end. A line that is not understood has the kind LINE_BAD. */
void line_parse(const char *text, struct line *out);

/* Write a line with its line end; returns its length, 0 when `size` is too small. */
size_t line_format_entry(const struct entry *entry, char *out, size_t size);

/* Decode %XX in `text` up to `end`; returns false when the result does not fit or has a NUL. */
bool percent_decode(const char *text, size_t length, char *out, size_t size);
/* Encode control characters, '%' and the bytes in `also`; returns false when the result does not fit. */
bool percent_encode(const char *text, const char *also, char *out, size_t size);

#endif
