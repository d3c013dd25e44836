#include "http.h"

#include <curl/curl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lines.h"

#define CONNECT_TIMEOUT_S 10L
#define SILENCE_S 60L

struct http {
    CURL *easy;
    CURLM *multi;
    struct curl_slist *headers;
    const struct options *options;
    atomic_bool interrupted;
    http_line on_line;
    void *context;
    bool gave_up;
    size_t used;
    char line[MAX_LINE + 1];
    char error[CURL_ERROR_SIZE + 64];
};

static long status_of(struct http *http)
{
    long status = 0;

    curl_easy_getinfo(http->easy, CURLINFO_RESPONSE_CODE, &status);
    return status;
}

/* Cut what has come into lines. The bodies of error answers are for people, and are not read. */
static size_t receive(char *data, size_t one, size_t size, void *userdata)
{
    struct http *http = userdata;

    (void)one;
    if (status_of(http) != 200 || !http->on_line)
        return size;
    for (size_t i = 0; i < size; i++) {
        if (data[i] != '\n') {
            if (http->used == MAX_LINE) {
                http->gave_up = true;
                return 0;
            }
            http->line[http->used++] = data[i];
            continue;
        }
        http->line[http->used] = '\0';
        http->used = 0;
        if (!http->on_line(http->line, http->context)) {
            http->gave_up = true;
            return 0;
        }
    }
    return size;
}

static void set_headers(struct http *http)
{
    char header[600];

    snprintf(header, sizeof header, "Authorization: Bearer %s", http->options->secret);
    http->headers = curl_slist_append(NULL, header);
    http->headers = curl_slist_append(http->headers, "Content-Type: text/plain; charset=utf-8");
    http->headers = curl_slist_append(http->headers, "Expect:");
    curl_easy_setopt(http->easy, CURLOPT_HTTPHEADER, http->headers);
}

struct http *http_new(const struct options *options)
{
    struct http *http = calloc(1, sizeof *http);

    if (!http || !(http->easy = curl_easy_init()) || !(http->multi = curl_multi_init()))
        abort();
    http->options = options;
    set_headers(http);
    curl_easy_setopt(http->easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(http->easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(http->easy, CURLOPT_USERAGENT, "firstlight-mosquitto/1");
    curl_easy_setopt(http->easy, CURLOPT_CONNECTTIMEOUT, CONNECT_TIMEOUT_S);
    curl_easy_setopt(http->easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(http->easy, CURLOPT_BUFFERSIZE, 65536L);
    curl_easy_setopt(http->easy, CURLOPT_WRITEFUNCTION, receive);
    curl_easy_setopt(http->easy, CURLOPT_WRITEDATA, http);
    curl_easy_setopt(http->easy, CURLOPT_ERRORBUFFER, http->error);
    if (*options->ca_file)
        curl_easy_setopt(http->easy, CURLOPT_CAINFO, options->ca_file);
    return http;
}

void http_free(struct http *http)
{
    curl_multi_cleanup(http->multi);
    curl_easy_cleanup(http->easy);
    curl_slist_free_all(http->headers);
    free(http);
}

/* The multi interface, since only it can be woken up by another thread. */
static CURLcode perform(struct http *http)
{
    CURLcode result = CURLE_ABORTED_BY_CALLBACK;
    CURLMsg *message;
    int running = 1, left;

    curl_multi_add_handle(http->multi, http->easy);
    while (running && !http->interrupted) {
        if (curl_multi_perform(http->multi, &running) != CURLM_OK)
            break;
        if (running)
            curl_multi_poll(http->multi, NULL, 0, 1000, NULL);
    }
    while ((message = curl_multi_info_read(http->multi, &left))) {
        if (message->msg == CURLMSG_DONE)
            result = message->data.result;
    }
    curl_multi_remove_handle(http->multi, http->easy);
    return result;
}

static enum http_result request(struct http *http, const char *path, int timeout_s)
{
    char url[8192];

    snprintf(url, sizeof url, "%s/api/brokers/%s/%s", http->options->url, http->options->broker, path);
    curl_easy_setopt(http->easy, CURLOPT_URL, url);
    curl_easy_setopt(http->easy, CURLOPT_TIMEOUT, (long)timeout_s);
    curl_easy_setopt(http->easy, CURLOPT_LOW_SPEED_LIMIT, timeout_s ? 0L : 1L);
    curl_easy_setopt(http->easy, CURLOPT_LOW_SPEED_TIME, timeout_s ? 0L : SILENCE_S);
    http->used = 0;
    http->gave_up = false;
    http->error[0] = '\0';
    CURLcode result = perform(http);
    if (http->interrupted)
        return HTTP_INTERRUPTED;
    if (http->gave_up)
        snprintf(http->error, sizeof http->error, "its answer is not what was expected");
    else if (result != CURLE_OK && !http->error[0])
        snprintf(http->error, sizeof http->error, "%s", curl_easy_strerror(result));
    if (result != CURLE_OK)
        return HTTP_FAILED;
    long status = status_of(http);
    if (status >= 200 && status < 300)
        return HTTP_DONE;
    snprintf(http->error, sizeof http->error, "HTTP status %ld", status);
    if (status == 409)
        return HTTP_STALE;
    return status >= 400 && status < 500 && status != 408 && status != 429 ? HTTP_REFUSED : HTTP_FAILED;
}

enum http_result http_get(struct http *http, const char *path, int timeout_s, http_line on_line, void *context)
{
    http->on_line = on_line;
    http->context = context;
    curl_easy_setopt(http->easy, CURLOPT_HTTPGET, 1L);
    return request(http, path, timeout_s);
}

enum http_result http_post(struct http *http, const char *path, const char *body, int timeout_s)
{
    http->on_line = NULL;
    curl_easy_setopt(http->easy, CURLOPT_POST, 1L);
    curl_easy_setopt(http->easy, CURLOPT_POSTFIELDSIZE, (long)strlen(body));
    curl_easy_setopt(http->easy, CURLOPT_POSTFIELDS, body);
    return request(http, path, timeout_s);
}

const char *http_error(const struct http *http)
{
    return http->error;
}

void http_wait(struct http *http, int milliseconds)
{
    if (!http->interrupted)
        curl_multi_poll(http->multi, NULL, 0, milliseconds, NULL);
}

void http_interrupt(struct http *http)
{
    http->interrupted = true;
    curl_multi_wakeup(http->multi);
}

void http_resume(struct http *http)
{
    http->interrupted = false;
}
