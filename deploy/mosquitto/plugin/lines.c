#include "lines.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool percent_decode(const char *text, size_t length, char *out, size_t size)
{
    size_t used = 0;

    for (size_t i = 0; i < length; i++) {
        char byte = text[i];
        if (byte == '%') {
            unsigned int value;
            char digits[3] = {0};
            char *end;
            if (i + 2 >= length)
                return false;
            memcpy(digits, text + i + 1, 2);
            value = (unsigned int)strtoul(digits, &end, 16);
            if (end != digits + 2 || !value)
                return false;
            byte = (char)value;
            i += 2;
        }
        if (used + 1 >= size)
            return false;
        out[used++] = byte;
    }
    out[used] = '\0';
    return true;
}

bool percent_encode(const char *text, const char *also, char *out, size_t size)
{
    size_t used = 0;

    for (; *text; text++) {
        unsigned char byte = (unsigned char)*text;
        bool encode = byte < 0x20 || byte == 0x7f || byte == '%' || strchr(also, byte);
        if (used + (encode ? 3 : 1) >= size)
            return false;
        if (encode)
            used += (size_t)sprintf(out + used, "%%%02X", byte);
        else
            out[used++] = (char)byte;
    }
    out[used] = '\0';
    return true;
}

/* Copy the word at *text into `out` and move *text behind the blank that follows it. */
static bool take_word(const char **text, char *out, size_t size)
{
    size_t length = strcspn(*text, " ");

    if (!length || length >= size)
        return false;
    memcpy(out, *text, length);
    out[length] = '\0';
    *text += length;
    if (**text == ' ')
        ++*text;
    return true;
}

static bool take_id(const char **text, struct id *out)
{
    char word[ID_HEX + 1];

    return take_word(text, word, sizeof word) && strlen(word) == ID_HEX && id_from_hex(word, out);
}

static bool take_number(const char **text, unsigned long limit, unsigned long *out)
{
    char word[16], *end;

    if (!take_word(text, word, sizeof word) || word[0] < '0' || word[0] > '9')
        return false;
    *out = strtoul(word, &end, 10);
    return !*end && *out <= limit;
}

static bool take_flags(const char **text, uint8_t *flags)
{
    char word[8];

    *flags = 0;
    if (!take_word(text, word, sizeof word))
        return false;
    if (strcmp(word, "-") == 0)
        return true;
    if (strcmp(word, "g") != 0)
        return false;
    *flags = ENTRY_GATEWAY;
    return true;
}

static bool take_password(const char **text, struct entry *entry)
{
    if (strncmp(*text, "- ", 2) == 0) {
        *text += 2;
        return true;
    }
    entry->flags |= ENTRY_PASSWORD;
    return take_id(text, &entry->password);
}

static bool parse_put(const char *text, struct entry *entry)
{
    unsigned long profile;

    memset(&entry->password, 0, sizeof entry->password);
    if (!take_id(&text, &entry->device) || !take_flags(&text, &entry->flags))
        return false;
    if (!take_number(&text, UINT16_MAX, &profile) || !take_id(&text, &entry->lookup) || !take_password(&text, entry))
        return false;
    entry->profile = (uint16_t)profile;
    return *text && percent_decode(text, strlen(text), entry->name, sizeof entry->name);
}

static bool parse_header(const char *text, struct line *out)
{
    unsigned long version;

    return take_number(&text, 1, &version) && version == 1 &&
           take_word(&text, out->position.epoch, sizeof out->position.epoch) &&
           take_word(&text, out->position.cursor, sizeof out->position.cursor) &&
           take_number(&text, UINT32_MAX, &out->count) && !*text;
}

static bool parse_profile(const char *text, struct line *out)
{
    unsigned long number;

    if (!take_number(&text, UINT16_MAX, &number) || !number || !take_id(&text, &out->profile_id) || !*text)
        return false;
    out->profile = (uint16_t)number;
    out->rest = text;
    return true;
}

void line_parse(const char *text, struct line *out)
{
    char word[12];
    bool good = false;

    out->kind = LINE_BAD;
    if (!take_word(&text, word, sizeof word))
        return;
    enum line_kind kind = LINE_BAD;
    if (strcmp(word, "+") == 0) {
        kind = LINE_PUT;
        good = parse_put(text, &out->entry);
    } else if (strcmp(word, "-") == 0) {
        kind = LINE_REMOVE;
        good = take_id(&text, &out->entry.device) && !*text;
    } else if (strcmp(word, "p") == 0) {
        kind = LINE_PROFILE;
        good = parse_profile(text, out);
    } else if (strcmp(word, "end") == 0) {
        kind = LINE_END;
        good = take_word(&text, out->position.cursor, sizeof out->position.cursor) && !*text;
    } else if (strcmp(word, "firstlight") == 0) {
        kind = LINE_HEADER;
        good = parse_header(text, out);
    }
    if (good)
        out->kind = kind;
}

size_t line_format_entry(const struct entry *entry, char *out, size_t size)
{
    char device[ID_HEX + 1], lookup[ID_HEX + 1], password[ID_HEX + 1] = "-", name[3 * MAX_NAME + 1];

    id_to_hex(&entry->device, device);
    id_to_hex(&entry->lookup, lookup);
    if (entry->flags & ENTRY_PASSWORD)
        id_to_hex(&entry->password, password);
    if (!percent_encode(entry->name, "", name, sizeof name))
        return 0;
    int length = snprintf(out, size, "+ %s %s %u %s %s %s\n", device, entry->flags & ENTRY_GATEWAY ? "g" : "-",
                          (unsigned int)entry->profile, lookup, password, name);
    return length > 0 && (size_t)length < size ? (size_t)length : 0;
}
