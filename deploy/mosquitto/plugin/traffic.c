/* What clients publish, subscribe to and receive. Written against Mosquitto 2.0.11, whose plugins see a message only when it comes
   in: what goes to one client is sent to that client as a message of the plugin's own. */

#include <string.h>

#include "plugin.h"

#define PUBLISH_REPORT_S 600 /* a device's use is reported at most this often while it publishes */

/* Not in every release, so it may be missing when the plugin is loaded. */
extern int mosquitto_property_copy_all(mosquitto_property **destination, const mosquitto_property *source) __attribute__((weak));

/* The broker asks about a message that no connection is publishing: the source of a retained message, before it delivers that to
   somebody (the topic is already the operator's), or the will of a client that has gone. It sends a will without the MESSAGE callback
   that would rename its topic, so we send it ourselves. */
static int check_without_session(struct plugin *plugin, const struct client *client, const struct mosquitto_evt_acl_check *check)
{
    char topic[MAX_TOPIC];

    if (client->role == ROLE_BRIDGE)
        return may_publish(&plugin->guard, client, check->topic) ? MOSQ_ERR_SUCCESS : MOSQ_ERR_ACL_DENIED;
    if (client->role != ROLE_DEVICE)
        return MOSQ_ERR_ACL_DENIED;
    if (topic_is_at_or_below(check->topic, client->outbox))
        return topic_is_at_or_below(check->topic, client->inbox) ? MOSQ_ERR_ACL_DENIED : MOSQ_ERR_SUCCESS;
    if (!may_publish(&plugin->guard, client, check->topic) || !published_topic(client, check->topic, topic, sizeof topic))
        return MOSQ_ERR_ACL_DENIED;
    if (!*topic)
        return MOSQ_ERR_SUCCESS;
    mosquitto_broker_publish_copy(NULL, topic, (int)check->payloadlen, check->payload, check->qos, check->retain, NULL);
    return MOSQ_ERR_ACL_DENIED;
}

/* Nothing is acknowledged that is dropped (docs/protocol.md): before MQTT 5 a PUBACK has no reason, so the connection ends. A
   provisioning client is ended at once in MQTT 5 too. */
static int refuse_publish(struct plugin *plugin, const struct client *client, struct mosquitto *mosquitto)
{
    plugin->dropped++;
    if (mosquitto_client_protocol_version(mosquitto) < 5)
        return MOSQ_ERR_AUTH;
    return client->role == ROLE_PROVISION ? MOSQ_ERR_PROTOCOL : MOSQ_ERR_ACL_DENIED;
}

static int check_publish(struct plugin *plugin, const struct client *client, const struct mosquitto_evt_acl_check *check)
{
    const struct session *session = sessions_find(plugin->sessions, client->client_id);

    if (!session || session->owner != check->client)
        return check_without_session(plugin, client, check);
    if (client->role == ROLE_NONE || !may_publish(&plugin->guard, client, check->topic))
        return refuse_publish(plugin, client, check->client);
    return MOSQ_ERR_SUCCESS;
}

static void note_subscription(struct plugin *plugin, const struct client *client, const struct mosquitto_evt_acl_check *check)
{
    struct session *session = sessions_find(plugin->sessions, client->client_id);

    if (!session || session->owner != check->client)
        return;
    if (client->role == ROLE_DEVICE) {
        session_subscribe(session, check->topic, check->qos);
    } else if (client->role == ROLE_PROVISION) {
        if (strcmp(check->topic, PROVISION_RESPONSE) == 0)
            session->response_qos = check->qos;
        else
            session->own_response_topic = true;
    }
}

static int check_subscribe(struct plugin *plugin, const struct client *client, const struct mosquitto_evt_acl_check *check)
{
    if (!may_subscribe(&plugin->guard, client, check->topic))
        return MOSQ_ERR_ACL_DENIED;
    note_subscription(plugin, client, check);
    return MOSQ_ERR_SUCCESS;
}

static int check_unsubscribe(struct plugin *plugin, const struct client *client, const struct mosquitto_evt_acl_check *check)
{
    struct session *session = sessions_find(plugin->sessions, client->client_id);

    if (session && session->owner == check->client)
        session_unsubscribe(session, check->topic);
    return MOSQ_ERR_SUCCESS;
}

/* Other users are not checked here, but only bridges may publish where devices and provisioning clients listen. */
static int check_other(const struct mosquitto_evt_acl_check *check)
{
    bool reserved = topic_is_reserved(check->topic) || topic_is_at_or_below(check->topic, PROVISION_RESPONSE) ||
                    topic_is_at_or_below(check->topic, PROVISION_REQUEST);

    /* Answers carry credentials: other users may not listen there either. */
    if (check->access == MOSQ_ACL_WRITE || (check->access == MOSQ_ACL_READ && !topic_is_reserved(check->topic)))
        return reserved ? MOSQ_ERR_ACL_DENIED : MOSQ_ERR_PLUGIN_DEFER;
    return MOSQ_ERR_PLUGIN_DEFER;
}

int on_acl_check(int event, void *event_data, void *userdata)
{
    struct mosquitto_evt_acl_check *check = event_data;
    struct plugin *plugin = userdata;
    static struct client client;
    bool ours;

    (void)event;
    admission_of_username(&plugin->guard, mosquitto_client_username(check->client), mosquitto_client_id(check->client), &client, &ours);
    if (!ours)
        return check_other(check);
    if (!client.client_id || strlen(check->topic) >= MAX_TOPIC / 4)
        return check->access == MOSQ_ACL_WRITE ? refuse_publish(plugin, &client, check->client) : MOSQ_ERR_ACL_DENIED;
    switch (check->access) {
    case MOSQ_ACL_WRITE:
        return check_publish(plugin, &client, check);
    case MOSQ_ACL_READ:
        return may_receive(&plugin->guard, &client, check->topic) ? MOSQ_ERR_SUCCESS : MOSQ_ERR_ACL_DENIED;
    case MOSQ_ACL_SUBSCRIBE:
        return check_subscribe(plugin, &client, check);
    case MOSQ_ACL_UNSUBSCRIBE:
        return check_unsubscribe(plugin, &client, check);
    default:
        return MOSQ_ERR_ACL_DENIED;
    }
}

static int rename_topic(const struct plugin *plugin, struct mosquitto_evt_message *message, const char *topic)
{
    char *copy = mosquitto_strdup(topic);

    if (!copy)
        return MOSQ_ERR_NOMEM;
    if (!plugin->broker_frees_topics)
        mosquitto_free(message->topic);
    message->topic = copy;
    return MOSQ_ERR_SUCCESS;
}

static void send_to(const char *client_id, const char *topic, const struct mosquitto_evt_message *message, int qos)
{
    mosquitto_property *properties = NULL;

    if (message->properties && mosquitto_property_copy_all)
        mosquitto_property_copy_all(&properties, message->properties);
    mosquitto_broker_publish_copy(client_id, topic, (int)message->payloadlen, message->payload, qos, false, properties);
}

/* An answer reaches the topic that unmodified firmware listens on, and that client alone; whether it has subscribed or not. */
static void deliver_response(struct plugin *plugin, const struct mosquitto_evt_message *message)
{
    char client_id[MAX_TOPIC];

    if (!client_of_response(message->topic, client_id, sizeof client_id))
        return;
    const struct session *session = sessions_find(plugin->sessions, client_id);
    if (!session || session->role != ROLE_PROVISION || session->own_response_topic)
        return;
    send_to(client_id, PROVISION_RESPONSE, message, session->response_qos < message->qos ? session->response_qos : message->qos);
}

/* What the operator publishes below a device's inbox goes to that device, on the topic of the device API. */
static void deliver_to_device(struct plugin *plugin, const struct mosquitto_evt_message *message)
{
    size_t length = topic_prefix(message->topic, topic_levels(plugin->options.to_device));
    char topic[MAX_TOPIC];
    struct entry entry;

    if (!length)
        return;
    for (const struct session *session = NULL; (session = sessions_of_inbox(plugin->sessions, message->topic, length, session));) {
        if (!replica_device(plugin->replica, session->device, &entry) ||
            !topic_to_device(message->topic + length + 1, entry.flags & ENTRY_GATEWAY, topic, sizeof topic))
            continue;
        int qos = session_subscribed_qos(session, topic);
        if (qos >= 0)
            send_to(session->client_id, topic, message, qos < message->qos ? qos : message->qos);
    }
}

int on_message(int event, void *event_data, void *userdata)
{
    struct mosquitto_evt_message *message = event_data;
    struct plugin *plugin = userdata;
    static struct client client;
    char topic[MAX_TOPIC] = "";
    bool ours;

    (void)event;
    admission_of_username(&plugin->guard, mosquitto_client_username(message->client), mosquitto_client_id(message->client), &client, &ours);
    if (client.role == ROLE_PROVISION) {
        message->retain = false; /* a client that subscribes later must not get an old request */
    } else if (client.role == ROLE_DEVICE) {
        report_use(plugin, client.device.device, PUBLISH_REPORT_S);
    } else if (client.role == ROLE_BRIDGE && topic_is_at_or_below(message->topic, PROVISION_RESPONSE)) {
        message->retain = false;
        deliver_response(plugin, message);
        return MOSQ_ERR_SUCCESS;
    }
    if (ours && !published_topic(&client, message->topic, topic, sizeof topic))
        return refuse_publish(plugin, &client, message->client);
    if (*topic)
        return rename_topic(plugin, message, topic);
    if (!ours || client.role == ROLE_BRIDGE)
        deliver_to_device(plugin, message);
    return MOSQ_ERR_SUCCESS;
}
