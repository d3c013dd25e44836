/* Tests of the parts that need no broker. Run by tests/deploy/mosquitto_plugin, under AddressSanitizer. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "admission.h"
#include "file.h"
#include "limits.h"

static int failures, checks;

#define CHECK(condition)                                                          \
    do {                                                                          \
        checks++;                                                                 \
        if (!(condition)) {                                                       \
            failures++;                                                           \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
        }                                                                         \
    } while (0)

static struct entry entry_of(unsigned int number, const char *name)
{
    struct entry entry = {0};

    memcpy(entry.device.bytes + 12, &number, 4);
    memcpy(entry.lookup.bytes + 8, &number, 4);
    entry.lookup.bytes[15] = 1;
    snprintf(entry.name, sizeof entry.name, "%s", name);
    return entry;
}

static bool is_hex(struct id id, const char *expected)
{
    char hex[ID_HEX + 1];

    id_to_hex(&id, hex);
    return strcmp(hex, expected) == 0;
}

/* The same values are in tests/brokers: they are the contract between Firstlight and the plugin. */
static void test_digests_are_those_of_the_contract(void)
{
    struct digest_key key;
    struct id device;

    digest_key_from_secret(&key, "a-secret-of-the-tests");
    CHECK(id_from_hex("00112233445566778899aabbccddeeff", &device));
    CHECK(is_hex(digest_username(&key, "token-1"), "5e132a38c305d3925d642e6a8d7ada36"));
    CHECK(is_hex(digest_client_id(&key, "client-1"), "cb59c3e38c6616c28cb9dd5ff2b04daf"));
    CHECK(is_hex(digest_client_id_and_username(&key, "client-1", "user-1"), "92af864d09406cbc4a19e60952a8325a"));
    CHECK(is_hex(digest_password(&key, device, "password-1"), "85fd168ef9b43cfdd99db36ec0b5cc5f"));
    CHECK(!id_from_hex("00112233445566778899aabbccddeef", &device));
    CHECK(!id_from_hex("0011223344556677 899aabbccddeeff", &device));
}

static void test_lines_are_read_and_written(void)
{
    static const char good[] = "+ 00112233445566778899aabbccddeeff g 7 0123456789abcdef0123456789abcdef - caf\xc3\xa9 50%25 %0Ab";
    char text[MAX_LINE];
    struct line line;

    line_parse(good, &line);
    CHECK(line.kind == LINE_PUT && line.entry.flags == ENTRY_GATEWAY && line.entry.profile == 7);
    CHECK(strcmp(line.entry.name, "caf\xc3\xa9 50% \nb") == 0);
    CHECK(line_format_entry(&line.entry, text, sizeof text) == sizeof good);
    CHECK(strncmp(text, good, sizeof good - 1) == 0 && strcmp(text + sizeof good - 1, "\n") == 0);
    line_parse("+ 00112233445566778899aabbccddeeff - 0 0123456789abcdef0123456789abcdef 0123456789abcdef0123456789abcdef n", &line);
    CHECK(line.kind == LINE_PUT && line.entry.flags == ENTRY_PASSWORD);
    line_parse("- 00112233445566778899aabbccddeeff", &line);
    CHECK(line.kind == LINE_REMOVE);
    line_parse("end 12:34", &line);
    CHECK(line.kind == LINE_END && strcmp(line.position.cursor, "12:34") == 0);
    line_parse("firstlight 1 epoch cursor 1000000", &line);
    CHECK(line.kind == LINE_HEADER && line.count == 1000000 && strcmp(line.position.epoch, "epoch") == 0);
    line_parse("p 3 00112233445566778899aabbccddeeff Sensor%20A plant/{name}/#", &line);
    CHECK(line.kind == LINE_PROFILE && line.profile == 3 && strcmp(line.rest, "Sensor%20A plant/{name}/#") == 0);

    static const char *const bad[] = {
        "", " ", "+", "-", "end", "end a b", "firstlight 2 a b 1", "firstlight 1 a b", "firstlight 1 a b x", "x 1", "p 70000 00112233445566778899aabbccddeeff a",
        "p 1", "p 0 00112233445566778899aabbccddeeff a", "p 1 a", "p 1 00112233445566778899aabbccddeeff", "- 00112233445566778899AABBCCDDEEFF", "- 00112233445566778899aabbccddeeff x",
        "+ 00112233445566778899aabbccddeeff - 0 0123456789abcdef0123456789abcdef -", "+ 00112233445566778899aabbccddeeff - 0 0 - n",
        "+ 00112233445566778899aabbccddeeff x 0 0123456789abcdef0123456789abcdef - n",
        "+ 00112233445566778899aabbccddeeff - 0 0123456789abcdef0123456789abcdef - a%00", "+ 00112233445566778899aabbccddeeff",
        "+ 00112233445566778899aabbccddeeff - 0 0123456789abcdef0123456789abcdef - a%2",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        line_parse(bad[i], &line);
        CHECK(line.kind == LINE_BAD);
        if (line.kind != LINE_BAD)
            fprintf(stderr, "taken: '%s'\n", bad[i]);
    }
}

static void count_gone(struct id device, void *context)
{
    (void)device;
    ++*(int *)context;
}

static void test_replica_finds_what_was_put_through_growth_and_snapshots(void)
{
    struct replica *replica = replica_new();
    struct entry entry, found;
    int gone = 0;

    replica_begin_snapshot(replica, 10);
    for (unsigned int i = 0; i < 5000; i++) {
        entry = entry_of(i, "name");
        CHECK(!replica_put(replica, &entry));
    }
    CHECK(replica_count(replica) == 5000);
    entry = entry_of(4321, "name");
    CHECK(!replica_put(replica, &entry)); /* nothing new: sessions go on */
    CHECK(replica_find(replica, entry.lookup, "", &found) && same_id(&found.device, &entry.device));
    strcpy(entry.name, "another name");
    CHECK(replica_put(replica, &entry));
    CHECK(replica_device(replica, entry.device, &found) && strcmp(found.name, "another name") == 0);
    struct id old = entry.lookup;
    entry.lookup.bytes[0] = 9;
    CHECK(replica_put(replica, &entry));
    CHECK(!replica_find(replica, old, "", &found) && replica_find(replica, entry.lookup, "", &found));
    CHECK(replica_remove(replica, entry.device) && !replica_remove(replica, entry.device));
    CHECK(!replica_find(replica, entry.lookup, "", &found) && !replica_device(replica, entry.device, &found));
    CHECK(replica_count(replica) == 4999);

    replica_begin_snapshot(replica, 3);
    for (unsigned int i = 0; i < 3; i++) {
        entry = entry_of(i, "name");
        CHECK(!replica_put(replica, &entry));
    }
    replica_end_snapshot(replica, count_gone, &gone);
    CHECK(gone == 4996 && replica_count(replica) == 3);
    replica_free(replica);
}

static void test_a_certificate_claimed_twice_is_told_apart_by_the_name(void)
{
    struct replica *replica = replica_new();
    struct entry first = entry_of(1, "first"), second = entry_of(2, "second"), found;

    second.lookup = first.lookup;
    replica_put(replica, &first);
    CHECK(replica_find(replica, first.lookup, "anything", &found));
    replica_put(replica, &second);
    CHECK(!replica_find(replica, first.lookup, "anything", &found));
    CHECK(!replica_find(replica, first.lookup, NULL, &found));
    CHECK(replica_find(replica, first.lookup, "second", &found) && same_id(&found.device, &second.device));
    replica_free(replica);
}

static void test_use_is_reported_once_in_an_interval(void)
{
    struct replica *replica = replica_new();
    struct entry entry = entry_of(1, "name");

    replica_put(replica, &entry);
    CHECK(replica_use_is_due(replica, entry.device, 1000000, 60));
    CHECK(!replica_use_is_due(replica, entry.device, 1000059, 60));
    strcpy(entry.name, "renamed");
    replica_put(replica, &entry);
    CHECK(!replica_use_is_due(replica, entry.device, 1000059, 60));
    CHECK(replica_use_is_due(replica, entry.device, 1000060, 60));
    replica_remove(replica, entry.device);
    CHECK(!replica_use_is_due(replica, entry.device, 2000000, 60));
    replica_free(replica);
}

static void test_topics(void)
{
    char out[MAX_TOPIC];
    struct topic_names names = {"id-1", "a/b+c#d%$", "$x", NULL};

    CHECK(topic_fill("devices/{name}", &names, out, sizeof out) && strcmp(out, "devices/a%2Fb%2Bc%23d%25$") == 0);
    CHECK(topic_fill("{client_id}/{id}", &names, out, sizeof out) && strcmp(out, "%24x/id-1") == 0);
    CHECK(!topic_fill("x/{profile}", &names, out, sizeof out));
    CHECK(!topic_fill("devices/{name}", &names, out, 10));
    CHECK(topic_pattern_is_valid("devices/{name}", false) && topic_pattern_is_valid("plant/{profile}/{id}/#", true));
    CHECK(!topic_pattern_is_valid("devices/{nam}", false) && !topic_pattern_is_valid("devices/+", true) && !topic_pattern_is_valid("#", true));
    CHECK(!topic_pattern_is_valid("v1/devices/me/{id}", true) && !topic_pattern_is_valid("/provision/request/{id}", true));
    CHECK(!topic_pattern_is_valid("", false) && !topic_pattern_is_valid("devices/{name}/", false) && !topic_pattern_is_valid("$SYS/{id}", true));
    CHECK(!topic_pattern_is_valid("devices/{name}/#", false));
    CHECK(topic_filter_for_all("devices/{name}/x-{id}", out, sizeof out) && strcmp(out, "devices/+/+") == 0);

    CHECK(topic_from_device("v1/devices/me/telemetry", "devices/d", false, out, sizeof out) && strcmp(out, "devices/d/telemetry") == 0);
    CHECK(topic_from_device("v2/t/j", "devices/d", false, out, sizeof out) && strcmp(out, "devices/d/v2/t/j") == 0);
    CHECK(topic_from_device("v1/gateway/connect", "devices/d", true, out, sizeof out) && strcmp(out, "devices/d/gateway/connect") == 0);
    CHECK(!topic_from_device("v1/gateway/connect", "devices/d", false, out, sizeof out));
    CHECK(!topic_from_device("v1/devices/me/", "d", false, out, sizeof out) && !topic_from_device("v1/devices/you/x", "d", false, out, sizeof out));
    CHECK(!topic_from_device("v1/devices/me/gateway/connect", "d", true, out, sizeof out) && !topic_from_device("v1/devices/me/v2/t", "d", true, out, sizeof out));

    CHECK(topic_to_device("attributes", false, out, sizeof out) && strcmp(out, "v1/devices/me/attributes") == 0);
    CHECK(topic_to_device("v2/a", false, out, sizeof out) && strcmp(out, "v2/a") == 0);
    CHECK(topic_to_device("gateway/rpc", true, out, sizeof out) && strcmp(out, "v1/gateway/rpc") == 0);
    CHECK(!topic_to_device("gateway/rpc", false, out, sizeof out) && !topic_to_device("gateway", true, out, sizeof out) && !topic_to_device("", true, out, sizeof out));

    CHECK(topic_device_may_subscribe("v1/devices/me/#", false) && topic_device_may_subscribe("v1/devices/me/rpc/request/+", false));
    CHECK(!topic_device_may_subscribe("v1/devices/+/#", false) && !topic_device_may_subscribe("#", true) && !topic_device_may_subscribe("v1/gateway/#", false));
    CHECK(!topic_device_may_subscribe("$share/g/v1/devices/me/telemetry", false) && !topic_device_may_subscribe("v1/devices/me/", false));

    CHECK(topic_matches("a/+/c", "a/b/c") && topic_matches("a/#", "a") && topic_matches("a/#", "a/b/c") && topic_matches("+/+", "/x"));
    CHECK(!topic_matches("a/+", "a/b/c") && !topic_matches("#", "$SYS/x") && !topic_matches("a/b", "a") && !topic_matches("a", "a/b"));
    CHECK(topic_covers("a/#", "a/+/b") && topic_covers("a/+", "a/+") && topic_covers("a/#", "a/#") && topic_covers("a/#", "a"));
    CHECK(!topic_covers("a/+", "a/#") && !topic_covers("a/b", "a/+") && !topic_covers("a/b/#", "a/#") && !topic_covers("a/b", "#"));
    CHECK(topic_prefix("devices/d/down/x/y", 3) == strlen("devices/d/down") && topic_prefix("devices/d/down", 3) == 0 && topic_levels("a/b/c") == 3);
}

static void test_limits_count_by_source_and_minute(void)
{
    struct limits *limits = limits_new(3);
    time_t now = 6000000;

    for (int i = 0; i < 3; i++) {
        CHECK(!limits_exceeded(limits, "192.0.2.1", now));
        limits_count_guess(limits, "192.0.2.1", now);
    }
    CHECK(limits_exceeded(limits, "192.0.2.1", now) && limits_exceeded(limits, "::ffff:192.0.2.1", now));
    CHECK(!limits_exceeded(limits, "192.0.2.2", now) && !limits_exceeded(limits, "192.0.2.1", now + 60));
    for (int i = 0; i < 3; i++)
        limits_count_guess(limits, "2001:db8::1", now);
    CHECK(limits_exceeded(limits, "2001:db8::ffff", now) && !limits_exceeded(limits, "2001:db8:0:1::1", now));
    for (int i = 0; i < 50000; i++) {
        char address[32];
        snprintf(address, sizeof address, "10.%d.%d.1", i / 250 % 250, i % 250);
        limits_count_guess(limits, address, now);
    }
    CHECK(limits_exceeded(limits, "192.0.2.1", now)); /* who guesses once does not push out who guesses often */
    for (int i = 0; i < 5; i++)
        limits_count_guess(limits, NULL, now);
    CHECK(limits_exceeded(limits, NULL, now));
    limits_free(limits);
    limits = limits_new(0);
    limits_count_guess(limits, "192.0.2.1", now);
    CHECK(!limits_exceeded(limits, "192.0.2.1", now));
    limits_free(limits);
}

static void test_sessions(void)
{
    struct sessions *sessions = sessions_new();
    struct id device = entry_of(7, "x").device;
    int first, second;
    char client_id[16];

    sessions_add(sessions, "c", &first, ROLE_DEVICE, device, "devices/x/down");
    sessions_add(sessions, "c", &second, ROLE_DEVICE, device, "devices/x/down");
    sessions_remove(sessions, "c", &first); /* the connection that was taken over ends after the new one began */
    CHECK(sessions_find(sessions, "c") && sessions_find(sessions, "c")->owner == &second);
    for (int i = 0; i < 2000; i++) {
        snprintf(client_id, sizeof client_id, "p%d", i);
        sessions_add(sessions, client_id, &first, i % 2 ? ROLE_PROVISION : ROLE_DEVICE, device, i % 2 ? NULL : "devices/x/down");
    }
    CHECK(sessions_count(sessions) == 2001);
    int found = 0;
    for (struct session *session = NULL; (session = sessions_of_device(sessions, device, session));)
        found++;
    CHECK(found == 1001);
    found = 0;
    for (struct session *session = NULL; (session = sessions_of_inbox(sessions, "devices/x/down/rest", 14, session));)
        found++;
    CHECK(found == 1001 && !sessions_of_inbox(sessions, "devices/x/downward", 18, NULL));
    struct session *session = sessions_find(sessions, "c");
    session_subscribe(session, "v1/devices/me/+", 1);
    session_subscribe(session, "v1/devices/me/rpc/#", 2);
    CHECK(session_subscribed_qos(session, "v1/devices/me/attributes") == 1 && session_subscribed_qos(session, "v1/devices/me/rpc/1") == 2);
    session_unsubscribe(session, "v1/devices/me/+");
    session_unsubscribe(session, "nothing");
    CHECK(session_subscribed_qos(session, "v1/devices/me/attributes") == -1);
    for (int i = 0; i <= MAX_FILTERS; i++) {
        snprintf(client_id, sizeof client_id, "v2/%d", i);
        session_subscribe(session, client_id, 0);
    }
    CHECK(session->all_filters && session_subscribed_qos(session, "v1/devices/me/attributes") == 1);
    sessions_remove(sessions, "c", &second);
    CHECK(!sessions_find(sessions, "c"));
    sessions_free(sessions);
}

struct stage {
    struct options options;
    struct digest_key key;
    struct guard guard;
};

static void set_stage(struct stage *stage)
{
    stage->options = (struct options){.secret = "a-secret-of-the-tests", .from_device = "devices/{name}", .to_device = "devices/{name}/down"};
    digest_key_from_secret(&stage->key, stage->options.secret);
    stage->guard = (struct guard){&stage->options, &stage->key, replica_new(), profiles_new()};
}

static void clear_stage(struct stage *stage)
{
    replica_free(stage->guard.replica);
    profiles_free(stage->guard.profiles);
}

static enum role decide(struct stage *stage, const char *client_id, const char *username, const char *password, struct client *client)
{
    struct presented presented = {client_id, username, password, NULL};

    return admission_decide(&stage->guard, &presented, client);
}

static void test_admission(void)
{
    struct stage stage;
    static struct client client, again;
    struct entry token = entry_of(1, "by token"), both = entry_of(2, "by both"), id_only = entry_of(3, "by client id");
    char username[NAME_SIZE];
    bool ours;

    set_stage(&stage);
    token.lookup = digest_username(&stage.key, "token-1");
    both.lookup = digest_client_id_and_username(&stage.key, "client-1", "user-1");
    both.flags = ENTRY_PASSWORD;
    both.password = digest_password(&stage.key, both.device, "password-1");
    id_only.lookup = digest_client_id(&stage.key, "client-2");
    replica_put(stage.guard.replica, &token);
    replica_put(stage.guard.replica, &both);
    replica_put(stage.guard.replica, &id_only);

    CHECK(decide(&stage, "anything", "token-1", NULL, &client) == ROLE_DEVICE && strcmp(client.outbox, "devices/by token") == 0);
    CHECK(decide(&stage, "anything", "token-1", "any password", &client) == ROLE_DEVICE);
    admission_username(&client, username);
    CHECK(strcmp(username, "firstlight/device/00000000-0000-0000-0000-000001000000") == 0);
    CHECK(admission_of_username(&stage.guard, username, "anything", &again, &ours) == ROLE_DEVICE && ours && same_id(&again.device.device, &token.device));
    replica_remove(stage.guard.replica, token.device);
    CHECK(admission_of_username(&stage.guard, username, "anything", &again, &ours) == ROLE_NONE && ours);
    CHECK(decide(&stage, "anything", "token-1", NULL, &client) == ROLE_NONE);
    CHECK(decide(&stage, "client-1", "user-1", "password-1", &client) == ROLE_DEVICE);
    CHECK(decide(&stage, "client-1", "user-1", "password-2", &client) == ROLE_NONE && decide(&stage, "client-1", "user-1", NULL, &client) == ROLE_NONE);
    CHECK(decide(&stage, "client-9", "user-1", "password-1", &client) == ROLE_NONE && decide(&stage, "client-1", NULL, NULL, &client) == ROLE_NONE);
    CHECK(decide(&stage, "client-2", NULL, NULL, &client) == ROLE_DEVICE && decide(&stage, "client-2", "", NULL, &client) == ROLE_DEVICE);
    CHECK(decide(&stage, "client-2", "someone", NULL, &client) == ROLE_NONE);
    CHECK(decide(&stage, "x", "provision", NULL, &client) == ROLE_PROVISION && decide(&stage, "provision", NULL, NULL, &client) == ROLE_PROVISION);
    CHECK(decide(&stage, "provision", "stranger", NULL, &client) == ROLE_NONE && decide(&stage, "x", NULL, NULL, &client) == ROLE_NONE);
    CHECK(decide(&stage, "x", "bridge", "a-secret-of-the-tests", &client) == ROLE_BRIDGE && decide(&stage, "x", "bridge", "wrong", &client) == ROLE_NONE);
    CHECK(decide(&stage, "x", "bridge", NULL, &client) == ROLE_NONE && decide(&stage, "x", "firstlight/bridge", NULL, &client) == ROLE_NONE);
    CHECK(admission_of_username(&stage.guard, NULL, "x", &client, &ours) == ROLE_NONE && !ours);
    CHECK(admission_of_username(&stage.guard, "firstlight/device/zz", "x", &client, &ours) == ROLE_NONE && ours);
    clear_stage(&stage);
}

static void test_who_may_use_which_topic(void)
{
    struct stage stage;
    static struct client client;
    struct entry entry = entry_of(1, "d1");
    char out[MAX_TOPIC];
    unsigned int unusable;

    set_stage(&stage);
    struct guard *guard = &stage.guard;
    entry.lookup = digest_username(&stage.key, "token-1");
    CHECK(profiles_put(guard->profiles, entry_of(1, "").device, "Other", &unusable) == 1);
    CHECK(profiles_put(guard->profiles, entry_of(2, "").device, "Line%20A plant/+/x plant/{profile}/{device_name}/# %2 plant/all", &unusable) == 2 && unusable == 2);
    CHECK(profiles_format(guard->profiles, 2, out, sizeof out) && !profiles_format(guard->profiles, 3, out, sizeof out));
    CHECK(strcmp(out, "p 2 00000000000000000000000002000000 Line%20A plant/{profile}/{device_name}/# plant/all") == 0);
    entry.profile = 2;
    replica_put(guard->replica, &entry);

    CHECK(decide(&stage, "a/b", "provision", NULL, &client) == ROLE_PROVISION);
    CHECK(may_publish(guard, &client, "/provision/request") && may_publish(guard, &client, "/provision/request/a%2Fb"));
    CHECK(published_topic(&client, "/provision/request", out, sizeof out) && strcmp(out, "/provision/request/a%2Fb") == 0);
    CHECK(!may_publish(guard, &client, "/provision/request/a/b") && !may_publish(guard, &client, "v1/devices/me/telemetry"));
    CHECK(!may_publish(guard, &client, "/provision/response/a%2Fb"));
    CHECK(may_subscribe(guard, &client, "/provision/response") && may_subscribe(guard, &client, "/provision/response/a%2Fb/#"));
    CHECK(!may_subscribe(guard, &client, "/provision/response/+") && !may_subscribe(guard, &client, "#") && !may_subscribe(guard, &client, "$share/x//provision/response"));
    CHECK(!may_receive(guard, &client, "/provision/response/other") && !may_receive(guard, &client, "devices/d1/telemetry"));
    CHECK(client_of_response("/provision/response/a%2Fb/x", out, sizeof out) && strcmp(out, "a/b") == 0);
    CHECK(!client_of_response("/provision/response", out, sizeof out) && !client_of_response("/provision/response/", out, sizeof out));

    CHECK(decide(&stage, "x", "bridge", "a-secret-of-the-tests", &client) == ROLE_BRIDGE);
    CHECK(may_publish(guard, &client, "/provision/response/x") && may_publish(guard, &client, "devices/d1/down/attributes"));
    CHECK(!may_publish(guard, &client, "/provision/response") && !may_publish(guard, &client, "devices/d1/telemetry") && !may_publish(guard, &client, "v1/devices/me/attributes"));
    CHECK(may_receive(guard, &client, "/provision/request/x") && may_receive(guard, &client, "devices/d1/telemetry") && !may_receive(guard, &client, "other"));

    CHECK(decide(&stage, "x", "token-1", NULL, &client) == ROLE_DEVICE);
    CHECK(may_publish(guard, &client, "v1/devices/me/telemetry") && may_publish(guard, &client, "v2/t"));
    CHECK(!may_publish(guard, &client, "v1/devices/me/down/x") && !may_publish(guard, &client, "devices/d1/telemetry") && !may_publish(guard, &client, "v1/gateway/connect"));
    CHECK(!may_publish(guard, &client, "/provision/request"));
    CHECK(may_publish(guard, &client, "plant/Line A/d1/state") && may_publish(guard, &client, "plant/all") && !may_publish(guard, &client, "plant/Line A/d2/state"));
    CHECK(may_subscribe(guard, &client, "plant/Line A/d1/+") && !may_subscribe(guard, &client, "plant/Line A/+/x") && !may_subscribe(guard, &client, "plant/#"));
    CHECK(may_receive(guard, &client, "v1/devices/me/attributes") && !may_receive(guard, &client, "devices/d1/telemetry") && !may_receive(guard, &client, "/provision/response/x"));
    CHECK(published_topic(&client, "v1/devices/me/telemetry", out, sizeof out) && strcmp(out, "devices/d1/telemetry") == 0);
    CHECK(published_topic(&client, "plant/all", out, sizeof out) && !*out);
    clear_stage(&stage);
}

static bool take(const char *line, void *context)
{
    strcat(strcat(context, line), "|");
    return true;
}

static void test_file_survives_a_torn_end_and_refuses_a_stranger(const char *folder)
{
    char path[1024], seen[MAX_LINE] = "", expected[MAX_LINE];
    struct replica *replica = replica_new();
    struct profiles *profiles = profiles_new();
    struct entry entry = entry_of(1, "one");
    struct position position = {"e1", "c1"};

    snprintf(path, sizeof path, "%s/replica", folder);
    replica_put(replica, &entry);
    profiles_put(profiles, entry_of(9, "").device, "P", &(unsigned int){0});
    struct file *file = file_new(path, "mark");
    CHECK(file_load(file, take, seen) == 0 && file_rewrite(file, replica, profiles, &position));
    file_append(file, "- 00112233445566778899aabbccddeeff");
    file_append(file, "end c2");
    CHECK(file_commit(file));
    file_free(file);
    FILE *stream = fopen(path, "a");
    fputs("+ torn", stream);
    fclose(stream);

    for (int i = 0; i < 2; i++) { /* the second time what was torn is gone */
        seen[0] = '\0';
        file = file_new(path, "mark");
        CHECK(file_load(file, take, seen) > 0);
        snprintf(expected, sizeof expected, "firstlight 1 e1 c1 1|p 1 00000000000000000000000009000000 P|+ 00000000000000000000000001000000 - 0 00000000000000000100000000000001 - one|end c1|"
                 "- 00112233445566778899aabbccddeeff|end c2|%s", i ? "end c3|" : "");
        CHECK(strcmp(seen, expected) == 0);
        file_append(file, "end c3");
        CHECK(file_commit(file));
        file_free(file);
    }
    seen[0] = '\0';
    file = file_new(path, "another mark");
    CHECK(file_load(file, take, seen) == 0 && !*seen);
    file_free(file);
    file = file_new("/nowhere/at/all", "mark");
    CHECK(!file_rewrite(file, replica, profiles, &position) && file_is_long(file, 1));
    file_free(file);
    replica_free(replica);
    profiles_free(profiles);
    unlink(path);
}

int main(int count, char **arguments)
{
    test_digests_are_those_of_the_contract();
    test_lines_are_read_and_written();
    test_replica_finds_what_was_put_through_growth_and_snapshots();
    test_a_certificate_claimed_twice_is_told_apart_by_the_name();
    test_use_is_reported_once_in_an_interval();
    test_topics();
    test_limits_count_by_source_and_minute();
    test_sessions();
    test_admission();
    test_who_may_use_which_topic();
    test_file_survives_a_torn_end_and_refuses_a_stranger(count > 1 ? arguments[1] : ".");
    printf("%d checks, %d not so\n", checks, failures);
    return failures ? EXIT_FAILURE : EXIT_SUCCESS;
}
