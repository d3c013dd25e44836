/* The plugin's side of Mosquitto: callbacks, each of which asks admission.c and does what it says. All run in the broker's one
   thread. Written against 2.0.11 (Debian 12); what later releases do differently is marked. */

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "plugin.h"
#include "version.h"

#define CONNECT_REPORT_S 60  /* a device's use is reported at most this often when it connects */
#define TICK_LIMIT 1000      /* devices whose sessions are ended in one turn of the broker's loop */
#define SUMMARY_S 60

/* Not in every release, so it may be missing when the plugin is loaded. */
extern int mosquitto_set_clientid(struct mosquitto *client, const char *client_id) __attribute__((weak));

static const struct id NO_DEVICE;

void report_use(struct plugin *plugin, struct id device, unsigned int interval_s)
{
    if (reports_have_room(plugin->reports) && replica_use_is_due(plugin->replica, device, time(NULL), interval_s))
        reports_add(plugin->reports, device);
}

/* Firmware that calls itself "provision" would end the session of the last one. From 2.1 on it can be given an id of its own. */
static void tell_apart(struct mosquitto *client)
{
    static unsigned long number;
    char unique[64];

    if (!mosquitto_set_clientid || strcmp(mosquitto_client_id(client), "provision") != 0)
        return;
    snprintf(unique, sizeof unique, "provision-%lx-%lx", (unsigned long)time(NULL), ++number);
    mosquitto_set_clientid(client, unique);
}

static int admit(struct plugin *plugin, struct mosquitto *mosquitto, const struct client *client)
{
    char username[NAME_SIZE];
    bool device = client->role == ROLE_DEVICE;

    admission_username(client, username);
    if (mosquitto_set_username(mosquitto, username) != MOSQ_ERR_SUCCESS)
        return MOSQ_ERR_NOMEM;
    if (client->role == ROLE_PROVISION)
        tell_apart(mosquitto);
    struct session *session = sessions_add(plugin->sessions, mosquitto_client_id(mosquitto), mosquitto, client->role,
                                           device ? client->device.device : NO_DEVICE, device ? client->inbox : NULL);
    session->all_filters = !mosquitto_client_clean_session(mosquitto);
    if (device)
        report_use(plugin, client->device.device, CONNECT_REPORT_S);
    return MOSQ_ERR_SUCCESS;
}

static int on_basic_auth(int event, void *event_data, void *userdata)
{
    struct mosquitto_evt_basic_auth *auth = event_data;
    struct plugin *plugin = userdata;
    const char *address = mosquitto_client_address(auth->client);
    struct presented presented = {mosquitto_client_id(auth->client), auth->username, auth->password, NULL};
    static struct client client;

    (void)event;
    if (!presented.client_id)
        return MOSQ_ERR_AUTH;
    if (limits_exceeded(plugin->limits, address, time(NULL))) {
        plugin->limited++;
        return MOSQ_ERR_AUTH;
    }
    presented.certificate = mosquitto_client_certificate(auth->client);
    enum role role = admission_decide(&plugin->guard, &presented, &client);
    X509_free(presented.certificate);
    if (role != ROLE_NONE)
        return admit(plugin, auth->client, &client);
    if (plugin->options.other_users && !admission_username_is_reserved(auth->username))
        return MOSQ_ERR_PLUGIN_DEFER;
    limits_count_guess(plugin->limits, address, time(NULL));
    plugin->denied++;
    return MOSQ_ERR_AUTH;
}

static int on_disconnect(int event, void *event_data, void *userdata)
{
    const struct mosquitto_evt_disconnect *disconnect = event_data;
    struct plugin *plugin = userdata;
    const char *client_id = mosquitto_client_id(disconnect->client);

    (void)event;
    if (client_id)
        sessions_remove(plugin->sessions, client_id, disconnect->client);
    return MOSQ_ERR_SUCCESS;
}

static void log_line(int level, const char *text, void *context)
{
    (void)context;
    mosquitto_log_printf(level, "%s", text);
}

/* The replica has changed already, so the client cannot come back with what it had. */
static void end_sessions(struct id device, void *context)
{
    struct plugin *plugin = context;
    struct session *session;

    while ((session = sessions_of_device(plugin->sessions, device, NULL))) {
        char *client_id = strdup(session->client_id);
        const void *owner = session->owner;
        if (!client_id)
            abort();
        mosquitto_kick_client_by_clientid(client_id, false);
        sessions_remove(plugin->sessions, client_id, owner); /* done by on_disconnect, unless the broker no longer had it */
        free(client_id);
    }
}

static void summarize(struct plugin *plugin)
{
    time_t now = time(NULL);

    if (now < plugin->summary + SUMMARY_S)
        return;
    if (plugin->denied || plugin->limited || plugin->dropped)
        mosquitto_log_printf(MOSQ_LOG_NOTICE, "Firstlight: in the last %ld s %lu connections denied, %lu more from addresses with too many "
                             "wrong guesses, %lu messages refused.", (long)(now - plugin->summary), plugin->denied, plugin->limited,
                             plugin->dropped);
    plugin->denied = plugin->limited = plugin->dropped = 0;
    plugin->summary = now;
}

static int on_tick(int event, void *event_data, void *userdata)
{
    static const struct outbox_actions actions = {log_line, end_sessions};
    struct plugin *plugin = userdata;

    (void)event;
#if LIBMOSQUITTO_VERSION_NUMBER >= 2001000
    /* 2.1 sleeps until the next event, unless the plugin sets a time. */
    ((struct mosquitto_evt_tick *)event_data)->next_ms = 100;
#else
    (void)event_data;
#endif
    outbox_empty(plugin->outbox, &actions, plugin, TICK_LIMIT);
    summarize(plugin);
    return MOSQ_ERR_SUCCESS;
}

int mosquitto_plugin_version(int supported_version_count, const int *supported_versions)
{
    for (int i = 0; i < supported_version_count; i++) {
        if (supported_versions[i] == 5)
            return 5;
    }
    return -1;
}

static int register_callbacks(struct plugin *plugin)
{
    static const struct {
        int event;
        MOSQ_FUNC_generic_callback function;
    } callbacks[] = {
        {MOSQ_EVT_BASIC_AUTH, on_basic_auth}, {MOSQ_EVT_ACL_CHECK, on_acl_check}, {MOSQ_EVT_MESSAGE, on_message},
        {MOSQ_EVT_DISCONNECT, on_disconnect}, {MOSQ_EVT_TICK, on_tick},
    };

    for (size_t i = 0; i < sizeof callbacks / sizeof *callbacks; i++) {
        int result = mosquitto_callback_register(plugin->id, callbacks[i].event, callbacks[i].function, NULL, plugin);
        if (result != MOSQ_ERR_SUCCESS)
            return result;
    }
    return MOSQ_ERR_SUCCESS;
}

int mosquitto_plugin_init(mosquitto_plugin_id_t *identifier, void **userdata, struct mosquitto_opt *options, int option_count)
{
    char error[512];
    struct plugin *plugin = calloc(1, sizeof *plugin);

    if (!plugin)
        return MOSQ_ERR_NOMEM;
    plugin->id = identifier;
    if (!options_read(&plugin->options, options, option_count, error, sizeof error)) {
        mosquitto_log_printf(MOSQ_LOG_ERR, "Firstlight: %s.", error);
        options_clear(&plugin->options);
        free(plugin); /* the broker stops, without calling mosquitto_plugin_cleanup */
        return MOSQ_ERR_INVAL;
    }
    *userdata = plugin;
    int version = broker_version();
    plugin->broker_frees_topics = version >= 2000015;
    mosquitto_log_printf(MOSQ_LOG_NOTICE, "Firstlight: the plugin is loaded by Mosquitto %d.%d.%d.", version / 1000000, version / 1000 % 1000,
                         version % 1000);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    digest_key_from_secret(&plugin->key, plugin->options.secret);
    plugin->replica = replica_new();
    plugin->profiles = profiles_new();
    plugin->sessions = sessions_new();
    plugin->limits = limits_new(plugin->options.guesses_per_minute);
    plugin->outbox = outbox_new();
    plugin->guard = (struct guard){&plugin->options, &plugin->key, plugin->replica, plugin->profiles};
    plugin->summary = time(NULL);
    plugin->feed = feed_start(&plugin->options, &plugin->key, plugin->replica, plugin->profiles, plugin->outbox);
    plugin->reports = reports_start(&plugin->options, plugin->outbox);
    return register_callbacks(plugin);
}

int mosquitto_plugin_cleanup(void *userdata, struct mosquitto_opt *options, int option_count)
{
    struct plugin *plugin = userdata;

    (void)options;
    (void)option_count;
    if (!plugin)
        return MOSQ_ERR_SUCCESS;
    feed_stop(plugin->feed);
    reports_stop(plugin->reports);
    sessions_free(plugin->sessions);
    limits_free(plugin->limits);
    outbox_free(plugin->outbox);
    profiles_free(plugin->profiles);
    replica_free(plugin->replica);
    curl_global_cleanup();
    options_clear(&plugin->options);
    free(plugin);
    return MOSQ_ERR_SUCCESS;
}
