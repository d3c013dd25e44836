/* Requests to Firstlight. One object for one thread; only http_interrupt may be called by another one. */
#ifndef FIRSTLIGHT_HTTP_H
#define FIRSTLIGHT_HTTP_H

#include <stdbool.h>
#include <stddef.h>

#include "options.h"

struct http;

enum http_result {
    HTTP_DONE,
    HTTP_STALE,       /* 409: the position is not known there any more */
    HTTP_REFUSED,     /* another 4xx: asking again will not help soon */
    HTTP_FAILED,      /* no answer, an incomplete one, or 5xx */
    HTTP_INTERRUPTED, /* by http_interrupt */
};

/* Called for each complete line, without its line end; returns false to give up. */
typedef bool (*http_line)(const char *line, void *context);

struct http *http_new(const struct options *options);
void http_free(struct http *http);
/* GET {url}/api/brokers/{broker}/{path}. Without a time limit (0) it is given up when nothing comes for a minute. */
enum http_result http_get(struct http *http, const char *path, int timeout_s, http_line on_line, void *context);
enum http_result http_post(struct http *http, const char *path, const char *body, int timeout_s);
/* Why the last request has failed, without secrets. */
const char *http_error(const struct http *http);
/* Wait; returns early when interrupted. */
void http_wait(struct http *http, int milliseconds);
/* End the request or the wait that is under way, and every later one, at once. */
void http_interrupt(struct http *http);
/* Let requests through again: for a last one while stopping. */
void http_resume(struct http *http);

#endif
