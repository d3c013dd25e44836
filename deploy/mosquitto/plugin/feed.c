#include "feed.h"

#include <errno.h>
#include <mosquitto.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "file.h"
#include "http.h"

#define WAIT_S 25          /* for which Firstlight may hold a request for events */
#define MAX_PAUSE_MS 5000  /* between attempts */
#define EMPTY_PAUSE_MS 500 /* after an answer without news that came at once: Firstlight had no thread to wait with */
#define FIRST_REMINDER_S 60
#define LAST_REMINDER_S 3600

struct feed {
    const struct options *options;
    struct replica *replica;
    struct profiles *profiles;
    struct outbox *outbox;
    struct file *file;
    struct http *http;
    pthread_t thread;
    struct position position;
    bool has_position;
    time_t current;  /* when the list was last known to be current; 0: never */
    time_t reminder; /* when the log next says that Firstlight does not answer */
    int reminder_s, failures;
    enum http_result failure; /* of the last attempt */
    time_t file_complaint; /* when it was last logged that the list cannot be stored */
    /* The answer that is being read. */
    bool snapshot, started, ended;
    bool news;       /* it had more than an end */
    bool renumbered; /* some profile has another number in the answer than here */
    struct line line;
    uint16_t profiles_here[UINT16_MAX + 1]; /* by their number in the answer; 0: not declared */
};

static void end_sessions(struct id device, void *context)
{
    struct feed *feed = context;

    outbox_end_sessions(feed->outbox, device);
}

static bool put(struct feed *feed, struct entry *entry)
{
    uint16_t here = feed->profiles_here[entry->profile];

    if (entry->profile && !here)
        return false;
    entry->profile = here;
    if (replica_put(feed->replica, entry))
        outbox_end_sessions(feed->outbox, entry->device);
    return true;
}

static bool put_profile(struct feed *feed, const struct line *line)
{
    unsigned int unusable;
    uint16_t here = profiles_put(feed->profiles, line->profile_id, line->rest, &unusable);

    if (unusable)
        outbox_log(feed->outbox, MOSQ_LOG_WARNING, "Firstlight: %u topic patterns of a profile cannot be used and are left out.", unusable);
    feed->profiles_here[line->profile] = here;
    feed->renumbered |= here != line->profile;
    return here;
}

static bool start_list(struct feed *feed, const struct line *line)
{
    if (!feed->snapshot || feed->started)
        return false;
    feed->started = true;
    feed->has_position = false; /* until its end the table is neither the old list nor the new one */
    feed->position = line->position;
    replica_begin_snapshot(feed->replica, line->count);
    return true;
}

/* Apply one line. Changes are whole states of one device, so it does no harm when a broken answer is applied in part. */
static bool apply(struct feed *feed, const char *text)
{
    struct line *line = &feed->line;

    line_parse(text, line);
    if (line->kind == LINE_HEADER)
        return start_list(feed, line);
    if (feed->ended || !feed->started)
        return false;
    feed->news |= line->kind != LINE_END;
    switch (line->kind) {
    case LINE_PUT:
        return put(feed, &line->entry);
    case LINE_REMOVE:
        if (replica_remove(feed->replica, line->entry.device))
            outbox_end_sessions(feed->outbox, line->entry.device);
        return true;
    case LINE_PROFILE:
        return put_profile(feed, line);
    case LINE_END:
        feed->ended = true;
        memcpy(feed->position.cursor, line->position.cursor, sizeof feed->position.cursor);
        return true;
    default:
        return false;
    }
}

/* The file has our numbers of the profiles, those of an answer are its own. */
static void store_line(struct feed *feed, const char *text)
{
    char line[MAX_LINE + 64];

    if (feed->line.kind == LINE_PUT) {
        size_t length = line_format_entry(&feed->line.entry, line, sizeof line);
        line[length ? length - 1 : 0] = '\0';
        file_append(feed->file, line);
    } else if (feed->line.kind == LINE_PROFILE) {
        if (profiles_format(feed->profiles, feed->profiles_here[feed->line.profile], line, sizeof line))
            file_append(feed->file, line);
    } else {
        file_append(feed->file, text);
    }
}

static bool on_answer_line(const char *text, void *context)
{
    struct feed *feed = context;

    if (!apply(feed, text))
        return false;
    if (!feed->snapshot && !feed->ended)
        store_line(feed, text);
    return true;
}

/* A stored file is a snapshot, and behind its end changes, each group with an end of its own. */
static bool on_stored_line(const char *text, void *context)
{
    struct feed *feed = context;

    if (!apply(feed, text))
        return false;
    if (feed->ended && feed->snapshot)
        replica_end_snapshot(feed->replica, end_sessions, feed);
    if (feed->ended) {
        feed->has_position = true;
        feed->snapshot = feed->ended = false;
    }
    return true;
}

static void report_file_error(struct feed *feed)
{
    int error = errno;

    if (feed->file_complaint && time(NULL) < feed->file_complaint + LAST_REMINDER_S)
        return;
    feed->file_complaint = time(NULL);
    outbox_log(feed->outbox, MOSQ_LOG_WARNING, "Firstlight: the list of devices cannot be stored in %s (%s); after a restart no device "
               "is admitted until Firstlight answers.", feed->options->file, strerror(error));
}

static void store_list(struct feed *feed)
{
    if (!file_rewrite(feed->file, feed->replica, feed->profiles, &feed->position))
        report_file_error(feed);
}

static void load(struct feed *feed)
{
    feed->snapshot = true;
    feed->started = feed->ended = false;
    time_t stored = file_load(feed->file, on_stored_line, feed);
    if (!feed->has_position) {
        outbox_log(feed->outbox, MOSQ_LOG_NOTICE, "Firstlight: no stored list of devices; devices are admitted once Firstlight has sent one.");
        return;
    }
    feed->current = stored;
    if (feed->renumbered)
        store_list(feed);
    outbox_log(feed->outbox, MOSQ_LOG_NOTICE, "Firstlight: %zu devices from the stored list, %ld s old.", replica_count(feed->replica),
               (long)(time(NULL) - stored));
}

static void start_reading(struct feed *feed, bool snapshot)
{
    feed->snapshot = snapshot;
    feed->started = !snapshot;
    feed->ended = feed->news = false;
    memset(feed->profiles_here, 0, sizeof feed->profiles_here);
}

static enum http_result take_snapshot(struct feed *feed)
{
    time_t begin = time(NULL);

    start_reading(feed, true);
    enum http_result result = http_get(feed->http, "snapshot", 0, on_answer_line, feed);
    if (result != HTTP_DONE)
        return result;
    if (!feed->ended)
        return HTTP_FAILED;
    replica_end_snapshot(feed->replica, end_sessions, feed);
    feed->has_position = true;
    outbox_log(feed->outbox, MOSQ_LOG_NOTICE, "Firstlight: a new list of %zu devices, received in %ld s.", replica_count(feed->replica),
               (long)(time(NULL) - begin));
    store_list(feed);
    return HTTP_DONE;
}

static enum http_result take_events(struct feed *feed)
{
    char path[2 * MAX_POSITION + 64], before[MAX_POSITION + 1], end[MAX_POSITION + 8];

    snprintf(path, sizeof path, "events?epoch=%s&cursor=%s&wait=%d", feed->position.epoch, feed->position.cursor, WAIT_S);
    memcpy(before, feed->position.cursor, sizeof before);
    time_t begin = time(NULL);
    start_reading(feed, false);
    enum http_result result = http_get(feed->http, path, WAIT_S + 15, on_answer_line, feed);
    if (result == HTTP_STALE)
        feed->has_position = false;
    if (result != HTTP_DONE)
        return result;
    if (!feed->ended)
        return HTTP_FAILED;
    if (strcmp(before, feed->position.cursor) != 0) {
        snprintf(end, sizeof end, "end %s", feed->position.cursor);
        file_append(feed->file, end);
    }
    if (!file_commit(feed->file))
        report_file_error(feed);
    else if (file_is_long(feed->file, replica_count(feed->replica)))
        store_list(feed);
    file_touch(feed->file);
    if (!feed->news && time(NULL) - begin < 2)
        http_wait(feed->http, EMPTY_PAUSE_MS);
    return HTTP_DONE;
}

static void succeeded(struct feed *feed)
{
    time_t now = time(NULL);

    if (feed->failures)
        outbox_log(feed->outbox, MOSQ_LOG_NOTICE, "Firstlight answers again; the list of %zu devices is current.", replica_count(feed->replica));
    feed->failures = 0;
    feed->reminder_s = FIRST_REMINDER_S;
    feed->current = now;
}

/* Say so at once, then after one minute, two, four, ... one hour, and when it fails in another way. */
static void failed(struct feed *feed, enum http_result result, const char *why)
{
    time_t now = time(NULL);
    bool repeated = feed->failures++ && result == feed->failure;

    feed->failure = result;
    if (repeated && now < feed->reminder)
        return;
    feed->reminder = now + feed->reminder_s;
    feed->reminder_s = 2 * feed->reminder_s < LAST_REMINDER_S ? 2 * feed->reminder_s : LAST_REMINDER_S;
    if (feed->current)
        outbox_log(feed->outbox, MOSQ_LOG_WARNING, "Firstlight sends no list of devices: %s. The broker goes on with %zu devices; its list is "
                   "%ld s old.", why, replica_count(feed->replica), (long)(now - feed->current));
    else
        outbox_log(feed->outbox, MOSQ_LOG_WARNING, "Firstlight sends no list of devices: %s. No device is admitted until it does.", why);
}

static int pause_ms(const struct feed *feed)
{
    int shift = feed->failures < 5 ? feed->failures - 1 : 4;
    int pause = 500 << shift;

    return pause < MAX_PAUSE_MS ? pause : MAX_PAUSE_MS;
}

static void *run(void *context)
{
    struct feed *feed = context;

    for (;;) {
        enum http_result result = feed->has_position ? take_events(feed) : take_snapshot(feed);
        if (result == HTTP_INTERRUPTED)
            return NULL;
        if (result == HTTP_DONE) {
            succeeded(feed);
        } else if (result == HTTP_STALE && !feed->failures) {
            outbox_log(feed->outbox, MOSQ_LOG_NOTICE, "Firstlight does not know our position any more; asking for a new list.");
            feed->failures++;
        } else {
            failed(feed, result, *http_error(feed->http) ? http_error(feed->http) : "its answer was cut off");
            http_wait(feed->http, pause_ms(feed));
        }
    }
}

struct feed *feed_start(const struct options *options, const struct digest_key *key, struct replica *replica, struct profiles *profiles,
                        struct outbox *outbox)
{
    struct feed *feed = calloc(1, sizeof *feed);
    struct id mark = digest_of_key(key);
    char line[256], hex[ID_HEX + 1];
    sigset_t all, before;

    if (!feed)
        abort();
    feed->options = options;
    feed->replica = replica;
    feed->profiles = profiles;
    feed->outbox = outbox;
    feed->reminder_s = FIRST_REMINDER_S;
    id_to_hex(&mark, hex);
    snprintf(line, sizeof line, "firstlight-replica 1 %s %s", options->broker, hex);
    feed->file = file_new(options->file, line);
    feed->http = http_new(options);
    load(feed);
    /* Signals are the broker's business. */
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    if (pthread_create(&feed->thread, NULL, run, feed) != 0)
        abort();
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return feed;
}

void feed_stop(struct feed *feed)
{
    http_interrupt(feed->http);
    pthread_join(feed->thread, NULL);
    http_free(feed->http);
    file_free(feed->file);
    free(feed);
}
