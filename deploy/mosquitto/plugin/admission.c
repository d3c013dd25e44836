#include "admission.h"

#include <stdio.h>
#include <string.h>

static const char OURS[] = "firstlight/";
static const char DEVICE[] = "firstlight/device/";
static const char *const FIXED[] = {[ROLE_PROVISION] = "firstlight/provision", [ROLE_BRIDGE] = "firstlight/bridge"};
static const char PROVISION[] = "provision";

static bool is_given(const char *text)
{
    return text && *text;
}

static bool is(const char *text, const char *word)
{
    return text && strcmp(text, word) == 0;
}

static bool password_fits(const struct guard *guard, const struct entry *entry, const char *password)
{
    if (!(entry->flags & ENTRY_PASSWORD))
        return true;
    struct id presented = digest_password(guard->key, entry->device, password ? password : "");
    return same_id(&presented, &entry->password);
}

static bool find(const struct guard *guard, struct id lookup, const struct presented *presented, struct entry *out)
{
    return replica_find(guard->replica, lookup, presented->client_id, out) && password_fits(guard, out, presented->password);
}

/* docs/protocol.md, MQTT CONNECT: client id and user name together where both were set, a user name alone by that, a client id alone
   only when there is no user name. */
static bool find_device(const struct guard *guard, const struct presented *presented, struct entry *out)
{
    struct id lookup;

    if (presented->certificate && digest_certificate(guard->key, presented->certificate, &lookup) &&
        replica_find(guard->replica, lookup, presented->client_id, out))
        return true;
    if (!is_given(presented->username))
        return is_given(presented->client_id) && find(guard, digest_client_id(guard->key, presented->client_id), presented, out);
    if (is_given(presented->client_id) &&
        find(guard, digest_client_id_and_username(guard->key, presented->client_id, presented->username), presented, out))
        return true;
    return find(guard, digest_username(guard->key, presented->username), presented, out);
}

static bool name_topics(const struct guard *guard, struct client *client)
{
    char uuid[UUID_SIZE];
    struct topic_names names = {uuid, client->device.name, client->client_id, NULL};

    id_to_uuid(&client->device.device, uuid);
    return topic_fill(guard->options->from_device, &names, client->outbox, sizeof client->outbox) &&
           topic_fill(guard->options->to_device, &names, client->inbox, sizeof client->inbox);
}

enum role admission_decide(const struct guard *guard, const struct presented *presented, struct client *client)
{
    client->role = ROLE_NONE;
    client->client_id = presented->client_id;
    if (is(presented->username, "bridge") && presented->password && same_text(presented->password, guard->options->secret))
        client->role = ROLE_BRIDGE;
    else if (is(presented->username, PROVISION))
        client->role = ROLE_PROVISION;
    else if (find_device(guard, presented, &client->device))
        client->role = name_topics(guard, client) ? ROLE_DEVICE : ROLE_NONE;
    else if (is(presented->client_id, PROVISION) && !is_given(presented->username))
        client->role = ROLE_PROVISION;
    return client->role;
}

void admission_username(const struct client *client, char out[NAME_SIZE])
{
    char uuid[UUID_SIZE];

    if (client->role != ROLE_DEVICE) {
        snprintf(out, NAME_SIZE, "%s", FIXED[client->role]);
        return;
    }
    id_to_uuid(&client->device.device, uuid);
    snprintf(out, NAME_SIZE, "%s%s", DEVICE, uuid);
}

bool admission_username_is_reserved(const char *username)
{
    return username && strncmp(username, OURS, sizeof OURS - 1) == 0;
}

enum role admission_of_username(const struct guard *guard, const char *username, const char *client_id, struct client *client, bool *ours)
{
    struct id device;

    *ours = admission_username_is_reserved(username);
    client->role = ROLE_NONE;
    client->client_id = client_id;
    if (!*ours || !client_id)
        return ROLE_NONE;
    if (strcmp(username, FIXED[ROLE_PROVISION]) == 0)
        client->role = ROLE_PROVISION;
    else if (strcmp(username, FIXED[ROLE_BRIDGE]) == 0)
        client->role = ROLE_BRIDGE;
    else if (strncmp(username, DEVICE, sizeof DEVICE - 1) == 0 && id_from_uuid(username + sizeof DEVICE - 1, &device) &&
             replica_device(guard->replica, device, &client->device) && name_topics(guard, client))
        client->role = ROLE_DEVICE;
    return client->role;
}

static bool is_gateway(const struct client *client)
{
    return client->device.flags & ENTRY_GATEWAY;
}

static bool profile_allows(const struct guard *guard, const struct client *client, const char *topic)
{
    char uuid[UUID_SIZE];
    struct topic_names names = {uuid, client->device.name, client->client_id, NULL};

    id_to_uuid(&client->device.device, uuid);
    return profiles_allow(guard->profiles, client->device.profile, names, topic);
}

static bool matches_pattern(const char *pattern, const char *topic)
{
    char filter[MAX_TOPIC];

    /* Room for the rest of the topic: "devices/+" has to match "devices/a/telemetry". */
    return topic_filter_for_all(pattern, filter, sizeof filter - 2) && topic_matches(strcat(filter, "/#"), topic);
}

bool own_response_topic(const char *client_id, char *out, size_t size)
{
    char level[MAX_TOPIC];

    return *client_id && topic_level(client_id, level, sizeof level) &&
           (size_t)snprintf(out, size, "%s/%s", PROVISION_RESPONSE, level) < size;
}

bool client_of_response(const char *topic, char *out, size_t size)
{
    const char *level = topic + sizeof PROVISION_RESPONSE;

    if (!topic_is_at_or_below(topic, PROVISION_RESPONSE) || strlen(topic) <= sizeof PROVISION_RESPONSE)
        return false;
    return percent_decode(level, strcspn(level, "/"), out, size);
}

static bool is_own_request(const struct client *client, const char *topic)
{
    char own[MAX_TOPIC];

    return strcmp(topic, PROVISION_REQUEST) == 0 || (published_topic(client, PROVISION_REQUEST, own, sizeof own) && strcmp(topic, own) == 0);
}

static bool is_own_response(const struct client *client, const char *topic)
{
    char own[MAX_TOPIC];

    return strcmp(topic, PROVISION_RESPONSE) == 0 || (own_response_topic(client->client_id, own, sizeof own) && topic_is_at_or_below(topic, own));
}

bool may_publish(const struct guard *guard, const struct client *client, const char *topic)
{
    char mapped[MAX_TOPIC];

    switch (client->role) {
    case ROLE_PROVISION:
        return is_own_request(client, topic);
    case ROLE_BRIDGE:
        return strncmp(topic, PROVISION_RESPONSE "/", sizeof PROVISION_RESPONSE) == 0 || matches_pattern(guard->options->to_device, topic);
    case ROLE_DEVICE:
        if (topic_from_device(topic, client->outbox, is_gateway(client), mapped, sizeof mapped))
            return !topic_is_at_or_below(mapped, client->inbox); /* it must not look like a message from the operator */
        return profile_allows(guard, client, topic);
    default:
        return false;
    }
}

bool may_subscribe(const struct guard *guard, const struct client *client, const char *filter)
{
    switch (client->role) {
    case ROLE_PROVISION:
        return is_own_response(client, filter);
    case ROLE_BRIDGE:
        return true; /* what it receives is decided for each message */
    case ROLE_DEVICE:
        return topic_device_may_subscribe(filter, is_gateway(client)) || profile_allows(guard, client, filter);
    default:
        return false;
    }
}

bool may_receive(const struct guard *guard, const struct client *client, const char *topic)
{
    switch (client->role) {
    case ROLE_PROVISION:
        return is_own_response(client, topic);
    case ROLE_BRIDGE:
        return topic_is_at_or_below(topic, PROVISION_REQUEST) ||
               (matches_pattern(guard->options->from_device, topic) && !matches_pattern(guard->options->to_device, topic));
    case ROLE_DEVICE:
        /* No other client can publish on the topics of the device API, so what arrives there is meant for this client. */
        return topic_device_may_subscribe(topic, is_gateway(client)) || profile_allows(guard, client, topic);
    default:
        return false;
    }
}

bool published_topic(const struct client *client, const char *topic, char *out, size_t size)
{
    char level[MAX_TOPIC];

    switch (client->role) {
    case ROLE_PROVISION:
        return *client->client_id && topic_level(client->client_id, level, sizeof level) &&
               (size_t)snprintf(out, size, "%s/%s", PROVISION_REQUEST, level) < size;
    case ROLE_DEVICE:
        if (!topic_from_device(topic, client->outbox, is_gateway(client), out, size))
            out[0] = '\0';
        return true;
    default:
        out[0] = '\0';
        return true;
    }
}
