#include "topics.h"

#include <stdio.h>
#include <string.h>

static const char ME[] = "v1/devices/me/";
static const char GATEWAY[] = "v1/gateway/";
static const char SHORT[] = "v2/";

static bool starts_with(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

static bool join(char *out, size_t size, const char *first, const char *second, const char *third)
{
    int length = snprintf(out, size, "%s%s%s", first, second, third);

    return length >= 0 && (size_t)length < size;
}

bool topic_level(const char *text, char *out, size_t size)
{
    return percent_encode(text, *text == '$' ? "+#/$" : "+#/", out, size);
}

/* Returns the length of the placeholder at `text`, 0 when there is none, and its value. */
static size_t placeholder(const char *text, const struct topic_names *names, const char **value)
{
    const struct {
        const char *word;
        const char *value;
    } known[] = {
        {"{id}", names->device_id},          {"{device_id}", names->device_id}, {"{name}", names->device_name},
        {"{device_name}", names->device_name}, {"{client_id}", names->client_id}, {"{profile}", names->profile},
    };

    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (starts_with(text, known[i].word)) {
            *value = known[i].value;
            return strlen(known[i].word);
        }
    }
    return 0;
}

bool topic_fill(const char *pattern, const struct topic_names *names, char *out, size_t size)
{
    size_t used = 0;

    while (*pattern) {
        const char *value = NULL;
        size_t length = placeholder(pattern, names, &value);
        if (length) {
            if (!value || !*value || !topic_level(value, out + used, size - used))
                return false;
            used += strlen(out + used);
            pattern += length;
        } else {
            if (used + 1 >= size)
                return false;
            out[used++] = *pattern++;
        }
    }
    if (used >= size)
        return false;
    out[used] = '\0';
    return true;
}

bool topic_pattern_is_valid(const char *pattern, bool wildcard)
{
    static const struct topic_names names = {"x", "x", "x", "x"};
    char filled[MAX_TOPIC];

    if (!*pattern || strlen(pattern) > 1024 || !topic_fill(pattern, &names, filled, sizeof filled))
        return false;
    size_t length = strlen(filled);
    if (wildcard && length > 2 && strcmp(filled + length - 2, "/#") == 0)
        length -= 2;
    return strcspn(filled, "+#{}%") >= length && filled[0] != '$' && filled[length - 1] != '/' && !topic_is_reserved(filled) &&
           !topic_is_at_or_below(filled, PROVISION_REQUEST) && !topic_is_at_or_below(filled, PROVISION_RESPONSE);
}

bool topic_filter_for_all(const char *pattern, char *out, size_t size)
{
    size_t used = 0;

    /* A level that has a placeholder anywhere becomes "+". */
    while (*pattern) {
        size_t length = strcspn(pattern, "/");
        bool any = memchr(pattern, '{', length) != NULL;
        if (used + length + 2 >= size)
            return false;
        if (any)
            out[used++] = '+';
        else
            memcpy(out + used, pattern, length), used += length;
        pattern += length;
        if (*pattern == '/')
            out[used++] = *pattern++;
    }
    out[used] = '\0';
    return true;
}

/* v1/devices/me/gateway/x would come out like v1/gateway/x, and .../v2/x like v2/x. */
static bool is_ambiguous(const char *rest)
{
    return topic_is_at_or_below(rest, "gateway") || topic_is_at_or_below(rest, "v2");
}

bool topic_from_device(const char *topic, const char *base, bool gateway, char *out, size_t size)
{
    if (starts_with(topic, ME)) {
        const char *rest = topic + sizeof ME - 1;
        return *rest && !is_ambiguous(rest) && join(out, size, base, "/", rest);
    }
    if (starts_with(topic, SHORT))
        return topic[sizeof SHORT - 1] && join(out, size, base, "/", topic);
    if (gateway && starts_with(topic, GATEWAY))
        return topic[sizeof GATEWAY - 1] && join(out, size, base, "/", topic + strlen("v1/"));
    return false;
}

bool topic_to_device(const char *rest, bool gateway, char *out, size_t size)
{
    if (!*rest)
        return false;
    if (topic_is_at_or_below(rest, "gateway"))
        return gateway && rest[strlen("gateway")] == '/' && join(out, size, "v1/", rest, "");
    if (topic_is_at_or_below(rest, "v2"))
        return rest[strlen("v2")] == '/' && join(out, size, "", rest, "");
    return join(out, size, ME, rest, "");
}

bool topic_device_may_subscribe(const char *filter, bool gateway)
{
    const char *start = starts_with(filter, ME)                    ? ME
                        : starts_with(filter, SHORT)               ? SHORT
                        : gateway && starts_with(filter, GATEWAY) ? GATEWAY
                                                                   : NULL;
    return start && filter[strlen(start)];
}

bool topic_is_reserved(const char *topic)
{
    return topic_is_at_or_below(topic, "v1/devices/me") || topic_is_at_or_below(topic, "v1/gateway") || topic_is_at_or_below(topic, "v2");
}

bool topic_is_at_or_below(const char *topic, const char *base)
{
    size_t length = strlen(base);

    return strncmp(topic, base, length) == 0 && (topic[length] == '\0' || topic[length] == '/');
}

/* Both are read level by level. `narrow` may be a topic, or a filter for topic_covers. */
static bool covers(const char *wide, const char *narrow)
{
    for (;;) {
        if (strcmp(wide, "#") == 0)
            return true;
        size_t wide_length = strcspn(wide, "/"), length = strcspn(narrow, "/");
        if (narrow[0] == '#' && length == 1)
            return false;
        if (wide_length == 1 && wide[0] == '+') {
            /* one level, whatever it is */
        } else if (wide_length != length || memcmp(wide, narrow, length) != 0) {
            return false;
        }
        wide += wide_length;
        narrow += length;
        if (!*narrow)
            return !*wide || strcmp(wide, "/#") == 0; /* "a/#" matches "a" too */
        if (!*wide)
            return false;
        wide++;
        narrow++;
    }
}

bool topic_matches(const char *filter, const char *topic)
{
    /* Section 4.7.2: a filter that begins with a wildcard does not match $SYS and the like. */
    if (topic[0] == '$' && filter[0] != '$')
        return false;
    return covers(filter, topic);
}

bool topic_covers(const char *wide, const char *narrow)
{
    return covers(wide, narrow);
}

size_t topic_prefix(const char *topic, size_t levels)
{
    const char *place = topic;

    for (; levels; levels--) {
        place = strchr(place, '/');
        if (!place)
            return 0;
        place++;
    }
    return (size_t)(place - topic) - 1;
}

size_t topic_levels(const char *topic)
{
    size_t levels = 1;

    for (; *topic; topic++)
        levels += *topic == '/';
    return levels;
}
