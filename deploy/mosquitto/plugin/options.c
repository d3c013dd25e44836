#include "options.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mosquitto_api.h"
#include "topics.h"

#define MIN_SECRET 16

static char *copy(const char *text)
{
    char *out = strdup(text);

    if (!out)
        abort();
    return out;
}

static void set(char **place, const char *value)
{
    free(*place);
    *place = copy(value);
}

static bool read_secret_file(struct options *options, const char *path, char *error, size_t size)
{
    char line[512] = "";
    FILE *file = fopen(path, "re");

    if (!file || !fgets(line, sizeof line, file)) {
        snprintf(error, size, "the secret file %s cannot be read", path);
        if (file)
            fclose(file);
        return false;
    }
    fclose(file);
    line[strcspn(line, "\r\n")] = '\0';
    set(&options->secret, line);
    OPENSSL_cleanse(line, sizeof line);
    return true;
}

static bool read_number(const char *value, unsigned int *out)
{
    char *end;
    unsigned long number = strtoul(value, &end, 10);

    *out = (unsigned int)number;
    return *value >= '0' && *value <= '9' && !*end && number <= 1000000;
}

static bool read_one(struct options *options, const char *key, const char *value, char *error, size_t size)
{
    struct {
        const char *key;
        char **place;
    } texts[] = {
        {"url", &options->url},         {"broker", &options->broker},           {"secret", &options->secret},
        {"file", &options->file},       {"ca_file", &options->ca_file},         {"topic_from_device", &options->from_device},
        {"topic_to_device", &options->to_device},
    };

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        if (strcmp(key, texts[i].key) == 0) {
            set(texts[i].place, value);
            return true;
        }
    }
    if (strcmp(key, "secret_file") == 0)
        return read_secret_file(options, value, error, size);
    if (strcmp(key, "guesses_per_minute") == 0 && read_number(value, &options->guesses_per_minute))
        return true;
    if (strcmp(key, "other_users") == 0 && (strcmp(value, "true") == 0 || strcmp(value, "false") == 0)) {
        options->other_users = value[0] == 't';
        return true;
    }
    snprintf(error, size, "plugin_opt_%s is not known, or its value is not usable", key);
    return false;
}

static const char *problem(const struct options *options)
{
    if (strncmp(options->url, "http://", 7) != 0 && strncmp(options->url, "https://", 8) != 0)
        return "plugin_opt_url must be the address of Firstlight, http://... or https://...";
    if (!*options->broker || strspn(options->broker, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-") != strlen(options->broker))
        return "plugin_opt_broker must be the id of this broker in Firstlight";
    if (strlen(options->secret) < MIN_SECRET)
        return "plugin_opt_secret or plugin_opt_secret_file must give the broker's secret, 16 characters at least";
    for (const char *byte = options->secret; *byte; byte++) {
        if (*byte <= ' ' || *byte == 0x7f)
            return "the broker's secret has blanks or control characters";
    }
    if (!topic_pattern_is_valid(options->from_device, false) || !topic_pattern_is_valid(options->to_device, false))
        return "a topic pattern needs one or more of {id}, {name}, no wildcards, and no slash at its end";
    if (!strstr(options->from_device, "{id}") && !strstr(options->from_device, "{name}"))
        return "plugin_opt_topic_from_device needs {id} or {name}: else devices would share one topic";
    if (!strstr(options->to_device, "{id}") && !strstr(options->to_device, "{name}"))
        return "plugin_opt_topic_to_device needs {id} or {name}: else devices would share one topic";
    if (strcmp(options->from_device, options->to_device) == 0)
        return "plugin_opt_topic_from_device and plugin_opt_topic_to_device must differ";
    return NULL;
}

bool options_read(struct options *options, const struct mosquitto_opt *given, int count, char *error, size_t size)
{
    *options = (struct options){
        .url = copy(""),  .broker = copy(""),  .secret = copy(""),
        .file = copy("/var/lib/mosquitto/firstlight.replica"),
        .ca_file = copy(""), .from_device = copy("devices/{name}"), .to_device = copy("devices/{name}/down"),
        .guesses_per_minute = 120,
    };
    for (int i = 0; i < count; i++) {
        if (!read_one(options, given[i].key, given[i].value ? given[i].value : "", error, size))
            return false;
    }
    size_t length = strlen(options->url);
    while (length && options->url[length - 1] == '/')
        options->url[--length] = '\0';
    const char *found = problem(options);
    if (found)
        snprintf(error, size, "%s", found);
    return !found;
}

void options_clear(struct options *options)
{
    if (options->secret)
        OPENSSL_cleanse(options->secret, strlen(options->secret));
    free(options->url);
    free(options->broker);
    free(options->secret);
    free(options->file);
    free(options->ca_file);
    free(options->from_device);
    free(options->to_device);
    memset(options, 0, sizeof *options);
}
