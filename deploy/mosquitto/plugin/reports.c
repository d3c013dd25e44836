#include "reports.h"

#include <mosquitto.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "http.h"

#define MAX_WAITING 262144 /* 4 MB: some hours of an outage */
#define BATCH 1000
#define TIMEOUT_S 15
#define LAST_TIMEOUT_S 2
#define GATHER_MS 500 /* what comes within this time goes in one request */
#define PAUSE_MS 10000

struct reports {
    struct http *http;
    struct outbox *outbox;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t added;
    atomic_bool stopping;
    struct id *waiting; /* a ring */
    size_t first, count;
};

/* Write the devices that wait into `body`; returns how many. They stay until their delivery is sure. */
static size_t gather(struct reports *reports, char *body)
{
    pthread_mutex_lock(&reports->lock);
    while (!reports->count && !reports->stopping)
        pthread_cond_wait(&reports->added, &reports->lock);
    size_t taken = reports->count < BATCH ? reports->count : BATCH;
    for (size_t i = 0; i < taken; i++) {
        id_to_hex(&reports->waiting[(reports->first + i) % MAX_WAITING], body);
        body += ID_HEX;
        *body++ = '\n';
    }
    *body = '\0';
    pthread_mutex_unlock(&reports->lock);
    return taken;
}

static void done(struct reports *reports, size_t count)
{
    pthread_mutex_lock(&reports->lock);
    reports->first = (reports->first + count) % MAX_WAITING;
    reports->count -= count;
    pthread_mutex_unlock(&reports->lock);
}

static void *run(void *context)
{
    struct reports *reports = context;
    time_t deadline = 0;
    char *body = malloc((ID_HEX + 1) * BATCH + 1);

    if (!body)
        abort();
    for (;;) {
        size_t count = gather(reports, body);
        bool last = reports->stopping;
        if (last && !deadline) {
            deadline = time(NULL) + LAST_TIMEOUT_S;
            http_resume(reports->http);
        }
        if (!count || (last && time(NULL) > deadline))
            break;
        enum http_result result = http_post(reports->http, "seen", body, last ? LAST_TIMEOUT_S : TIMEOUT_S);
        if (result == HTTP_DONE || result == HTTP_REFUSED)
            done(reports, count);
        if (result == HTTP_REFUSED)
            outbox_log(reports->outbox, MOSQ_LOG_WARNING, "Firstlight refuses to hear which devices have connected: %s.", http_error(reports->http));
        if (last && result != HTTP_DONE)
            break;
        if (!last)
            http_wait(reports->http, result == HTTP_DONE ? GATHER_MS : PAUSE_MS);
    }
    free(body);
    return NULL;
}

struct reports *reports_start(const struct options *options, struct outbox *outbox)
{
    struct reports *reports = calloc(1, sizeof *reports);
    sigset_t all, before;

    if (!reports || !(reports->waiting = malloc(MAX_WAITING * sizeof *reports->waiting)))
        abort();
    reports->outbox = outbox;
    reports->http = http_new(options);
    pthread_mutex_init(&reports->lock, NULL);
    pthread_cond_init(&reports->added, NULL);
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    if (pthread_create(&reports->thread, NULL, run, reports) != 0)
        abort();
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return reports;
}

void reports_stop(struct reports *reports)
{
    http_interrupt(reports->http); /* before `stopping`, after which the thread lets its last requests through */
    pthread_mutex_lock(&reports->lock);
    reports->stopping = true;
    pthread_cond_signal(&reports->added);
    pthread_mutex_unlock(&reports->lock);
    pthread_join(reports->thread, NULL);
    http_free(reports->http);
    pthread_cond_destroy(&reports->added);
    pthread_mutex_destroy(&reports->lock);
    free(reports->waiting);
    free(reports);
}

bool reports_have_room(struct reports *reports)
{
    pthread_mutex_lock(&reports->lock);
    bool room = reports->count < MAX_WAITING;
    pthread_mutex_unlock(&reports->lock);
    return room;
}

void reports_add(struct reports *reports, struct id device)
{
    pthread_mutex_lock(&reports->lock);
    if (reports->count < MAX_WAITING)
        reports->waiting[(reports->first + reports->count++) % MAX_WAITING] = device;
    pthread_cond_signal(&reports->added);
    pthread_mutex_unlock(&reports->lock);
}
