// The host, as C reaches it: from the SDK's types to the contract's and back.
#include "toolbay.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

// An answer larger than this is refused, before the sandbox's memory is full.
#define MAX_BODY ((uint64_t)8 << 20)
// 30 seconds, in milliseconds.
#define TIMEOUT UINT64_C(30000)

static void *memory(void *old, size_t size) {
  void *found = realloc(old, size ? size : 1);
  if (!found) {
    fputs("out of memory\n", stderr);
    abort();
  }
  return found;
}

static char *copied(const void *bytes, size_t length) {
  char *text = memory(NULL, length + 1);
  if (length) memcpy(text, bytes, length);
  text[length] = 0;
  return text;
}

char *tb_text(const plugin_string_t *text) { return copied(text->ptr, text->len); }

static char *formatted(const char *format, va_list values) {
  va_list again;
  va_copy(again, values);
  int length = vsnprintf(NULL, 0, format, again);
  va_end(again);
  if (length < 0) return copied("", 0);
  char *text = memory(NULL, (size_t)length + 1);
  vsnprintf(text, (size_t)length + 1, format, values);
  return text;
}

char *tb_format(const char *format, ...) {
  va_list values;
  va_start(values, format);
  char *text = formatted(format, values);
  va_end(values);
  return text;
}

// A text of the host that borrows a C string.
static plugin_string_t lent(const char *text) {
  plugin_string_t lent;
  plugin_string_set(&lent, text);
  return lent;
}

bool tb_answer(plugin_string_t *ret, const char *format, ...) {
  va_list values;
  va_start(values, format);
  *ret = lent(formatted(format, values));
  va_end(values);
  return true;
}

bool tb_fail(plugin_string_t *err, const char *format, ...) {
  va_list values;
  va_start(values, format);
  *err = lent(formatted(format, values));
  va_end(values);
  return false;
}

void tb_progress(double done, double total, const char *text) {
  plugin_string_t words = lent(text ? text : "");
  toolbay_plugin_progress_report(done, total > 0 ? &total : NULL, text ? &words : NULL);
}

void tb_log(tb_level level, const char *format, ...) {
  va_list values;
  va_start(values, format);
  plugin_string_t text = lent(formatted(format, values));
  va_end(values);
  toolbay_plugin_log_message((toolbay_plugin_log_log_level_t)level, &text);
}

// --- JSON: as much of it as takes an answer apart ---

static const char *after_space(const char *at) {
  while (*at == ' ' || *at == '\n' || *at == '\r' || *at == '\t') at++;
  return at;
}

// The end of a value; NULL: there is none.
static const char *after_value(const char *at) {
  at = after_space(at);
  int depth = 0;
  do {
    switch (*at) {
      case 0: return NULL;
      case '{': case '[': depth++; at++; break;
      case '}': case ']': if (--depth < 0) return NULL; at++; break;
      case '"':
        for (at++; *at != '"'; at++) {
          if (*at == '\\' && at[1]) at++;
          if (!*at) return NULL;
        }
        at++;
        break;
      case ',': case ':': at++; break;
      default: at += strcspn(at, ",:]}[{\" \n\r\t");
    }
    at = depth ? after_space(at) : at;
  } while (depth);
  return at;
}

static unsigned hex(const char *at) {
  unsigned value = 0;
  for (int digit = 0; digit < 4; digit++) {
    char c = at[digit];
    unsigned worth = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : 16;
    if (worth > 15) return 0xfffd;
    value = value << 4 | worth;
  }
  return value;
}

static char *utf8(char *to, unsigned code) {
  if (code < 0x80) {
    *to++ = (char)code;
  } else if (code < 0x800) {
    *to++ = (char)(0xc0 | code >> 6);
    *to++ = (char)(0x80 | (code & 0x3f));
  } else if (code < 0x10000) {
    *to++ = (char)(0xe0 | code >> 12);
    *to++ = (char)(0x80 | (code >> 6 & 0x3f));
    *to++ = (char)(0x80 | (code & 0x3f));
  } else {
    *to++ = (char)(0xf0 | code >> 18);
    *to++ = (char)(0x80 | (code >> 12 & 0x3f));
    *to++ = (char)(0x80 | (code >> 6 & 0x3f));
    *to++ = (char)(0x80 | (code & 0x3f));
  }
  return to;
}

// A string of JSON, from behind its first quote to its last.
static char *unquoted(const char *at, const char *end) {
  char *text = memory(NULL, (size_t)(end - at) + 1), *to = text;
  while (at < end) {
    if (*at != '\\' || at + 1 >= end) {
      *to++ = *at++;
      continue;
    }
    char kind = at[1];
    at += 2;
    switch (kind) {
      case 'n': *to++ = '\n'; break;
      case 't': *to++ = '\t'; break;
      case 'r': *to++ = '\r'; break;
      case 'b': *to++ = '\b'; break;
      case 'f': *to++ = '\f'; break;
      case 'u': {
        if (end - at < 4) break;
        unsigned code = hex(at);
        at += 4;
        // Two halves of one character.
        if (code >= 0xd800 && code < 0xdc00 && end - at >= 6 && at[0] == '\\' && at[1] == 'u') {
          unsigned low = hex(at + 2);
          if (low >= 0xdc00 && low < 0xe000) {
            code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
            at += 6;
          }
        }
        to = utf8(to, code >= 0xd800 && code < 0xe000 ? 0xfffd : code);
        break;
      }
      default: *to++ = kind;
    }
  }
  *to = 0;
  return text;
}

// Where a member's value begins, and where it ends. NULL: it has none of that name.
static const char *member(const char *object, const char *name, const char **end) {
  const char *at = after_space(object);
  if (*at != '{') return NULL;
  at = after_space(at + 1);
  while (*at == '"') {
    *end = after_value(at);
    if (!*end) return NULL;
    char *key = unquoted(at + 1, *end - 1);
    at = after_space(*end);
    if (*at != ':') return NULL;
    const char *value = after_space(at + 1);
    *end = after_value(value);
    if (!*end || *end == value) return NULL;
    if (strcmp(key, name) == 0) return value;
    at = after_space(*end);
    if (*at != ',') return NULL;
    at = after_space(at + 1);
  }
  return NULL;
}

char *tb_json(const char *object, const char *name) {
  const char *end, *value = member(object, name, &end);
  if (!value) return NULL;
  return *value == '"' ? unquoted(value + 1, end - 1) : copied(value, (size_t)(end - value));
}

char *tb_json_raw(const char *object, const char *name) {
  const char *end, *value = member(object, name, &end);
  return value ? copied(value, (size_t)(end - value)) : NULL;
}

char *tb_quoted(const char *text) {
  // Each byte becomes six at most.
  char *quoted = memory(NULL, strlen(text) * 6 + 3), *to = quoted;
  *to++ = '"';
  for (const char *at = text; *at; at++) {
    unsigned char c = (unsigned char)*at;
    if (c == '"' || c == '\\') {
      *to++ = '\\';
      *to++ = (char)c;
    } else if (c < 0x20) {
      to += sprintf(to, "\\u%04x", c);
    } else {
      *to++ = (char)c;
    }
  }
  *to++ = '"';
  *to = 0;
  return quoted;
}

tb_result tb_ok(const char *format, ...) {
  va_list values;
  va_start(values, format);
  tb_result answer = {true, formatted(format, values)};
  va_end(values);
  return answer;
}

tb_result tb_error(const char *format, ...) {
  va_list values;
  va_start(values, format);
  tb_result answer = {false, formatted(format, values)};
  va_end(values);
  return answer;
}

static tb_result well(char *text) { return (tb_result){true, text}; }
static tb_result bad(const plugin_string_t *why) { return (tb_result){false, tb_text(why)}; }

// --- Questions ---

tb_reply tb_ask(const char *message, const char *properties) {
  // What has a default or is said to be optional is for the author to say: every field is shown, and none demanded.
  char *schema = tb_format("{\"type\":\"object\",\"properties\":%s}", properties && *properties ? properties : "{}");
  toolbay_plugin_client_request_t request = {0};
  request.question.tag = TOOLBAY_PLUGIN_CLIENT_QUESTION_FORM;
  request.question.val.form.message = lent(message);
  request.question.val.form.schema = lent(schema);
  toolbay_plugin_client_list_request_t requests = {&request, 1};
  toolbay_plugin_client_list_answer_t answers;
  toolbay_plugin_client_ask_error_t error;
  if (!toolbay_plugin_client_ask(&requests, &answers, &error)) {
    bool refused = error.tag == TOOLBAY_PLUGIN_CLIENT_ASK_ERROR_REFUSED;
    return (tb_reply){TB_UNANSWERED, tb_text(refused ? &error.val.refused.message : &error.val.unanswered)};
  }
  if (answers.len != 1 || answers.ptr[0].tag != TOOLBAY_PLUGIN_CLIENT_ANSWER_REPLY) {
    return (tb_reply){TB_UNANSWERED, copied("the answer is of another kind", 29)};
  }
  toolbay_plugin_client_reply_t *reply = &answers.ptr[0].val.reply;
  tb_action action = reply->action == TOOLBAY_PLUGIN_CLIENT_ACTION_ACCEPT    ? TB_ACCEPTED
                     : reply->action == TOOLBAY_PLUGIN_CLIENT_ACTION_DECLINE ? TB_DECLINED
                                                                            : TB_CANCELLED;
  return (tb_reply){action, reply->content.is_some ? tb_text(&reply->content.val) : copied("{}", 2)};
}

// --- Other tools ---

// All text of an answer, a line each.
static char *text_of(const toolbay_plugin_calls_list_content_t *content) {
  char *text = copied("", 0);
  size_t length = 0;
  for (size_t each = 0; each < content->len; each++) {
    if (content->ptr[each].tag != TOOLBAY_PLUGIN_TYPES_CONTENT_TEXT) continue;
    plugin_string_t *piece = &content->ptr[each].val.text.text;
    text = memory(text, length + piece->len + 2);
    if (length) text[length++] = '\n';
    memcpy(text + length, piece->ptr, piece->len);
    length += piece->len;
    text[length] = 0;
  }
  return text;
}

tb_result tb_call(const char *tool, const char *arguments) {
  plugin_string_t name = lent(tool), json = lent(arguments ? arguments : "{}");
  toolbay_plugin_calls_answer_t answer;
  toolbay_plugin_calls_call_error_t error;
  if (!toolbay_plugin_calls_call(&name, &json, &answer, &error)) {
    return bad(error.tag == TOOLBAY_PLUGIN_CALLS_CALL_ERROR_FAILED ? &error.val.failed.message : &error.val.unknown);
  }
  if (answer.is_error) return (tb_result){false, text_of(&answer.content)};
  if (answer.structured_content.is_some) return well(tb_text(&answer.structured_content.val));
  return well(text_of(&answer.content));
}

// --- Keeping things ---

// All its cases hold a text.
static tb_result not_kept(const toolbay_plugin_store_store_error_t *error) { return bad(&error->val.denied); }

tb_result tb_store_get(const char *key, bool *found) {
  plugin_string_t name = lent(key);
  toolbay_plugin_store_option_entry_t entry;
  toolbay_plugin_store_store_error_t error;
  if (found) *found = false;
  if (!toolbay_plugin_store_get(&name, &entry, &error)) return not_kept(&error);
  if (!entry.is_some) return well(copied("", 0));
  if (found) *found = true;
  return well(copied(entry.val.value.ptr, entry.val.value.len));
}

tb_result tb_store_set(const char *key, const char *value, uint64_t seconds) {
  plugin_string_t name = lent(key);
  plugin_list_u8_t bytes = {(uint8_t *)value, strlen(value)};
  uint64_t milliseconds = seconds * 1000;
  toolbay_plugin_store_condition_t always = {.tag = TOOLBAY_PLUGIN_STORE_CONDITION_ALWAYS};
  plugin_option_u64_t version;
  toolbay_plugin_store_store_error_t error;
  if (!toolbay_plugin_store_set(&name, &bytes, seconds ? &milliseconds : NULL, &always, &version, &error)) return not_kept(&error);
  return well(copied("", 0));
}

tb_result tb_store_increment(const char *key, int64_t by) {
  plugin_string_t name = lent(key);
  int64_t now;
  toolbay_plugin_store_store_error_t error;
  if (!toolbay_plugin_store_increment(&name, by, &now, &error)) return not_kept(&error);
  return well(tb_format("%lld", (long long)now));
}

tb_result tb_store_delete(const char *key) {
  plugin_string_t name = lent(key);
  toolbay_plugin_store_condition_t always = {.tag = TOOLBAY_PLUGIN_STORE_CONDITION_ALWAYS};
  bool was_there;
  toolbay_plugin_store_store_error_t error;
  if (!toolbay_plugin_store_delete(&name, &always, &was_there, &error)) return not_kept(&error);
  return well(copied("", 0));
}

// --- HTTP ---

static tb_response no_answer(const char *url, const char *why) {
  char *text = tb_format("%s cannot be fetched: %s", url, why);
  return (tb_response){0, text, strlen(text)};
}

// Reads lines of headers. False: `fields->len` counts those before the line that is no header.
static bool read_headers(const char *lines, plugin_list_tuple2_string_list_u8_t *fields) {
  size_t room = 2;
  for (const char *at = lines; at && *at; at++) room += *at == '\n' || *at == '\r';
  fields->ptr = memory(NULL, room * sizeof *fields->ptr);
  fields->len = 0;
  for (const char *at = lines; at && *at;) {
    size_t length = strcspn(at, "\r\n");
    const char *colon = memchr(at, ':', length), *end = at + length;
    if (length) {
      if (!colon) return false;
      const char *value = colon + 1;
      while (value < end && *value == ' ') value++;
      fields->ptr[fields->len++] = (plugin_tuple2_string_list_u8_t){
          {(uint8_t *)at, (size_t)(colon - at)}, {(uint8_t *)value, (size_t)(end - value)}};
    }
    at = end + strspn(end, "\r\n");
  }
  return true;
}

static bool has_header(const plugin_list_tuple2_string_list_u8_t *fields, const char *name) {
  for (size_t each = 0; each < fields->len; each++) {
    const plugin_string_t *known = &fields->ptr[each].f0;
    if (known->len == strlen(name) && strncasecmp((const char *)known->ptr, name, known->len) == 0) return true;
  }
  return false;
}

tb_response tb_fetch(const char *method, const char *url, const char *headers, const char *body) {
  toolbay_plugin_fetch_request_t request = {.method = lent(method), .url = lent(url)};
  if (!read_headers(headers, &request.headers)) return no_answer(url, "a line of its headers has no colon");
  if (!has_header(&request.headers, "user-agent")) {
    request.headers.ptr[request.headers.len++] =
        (plugin_tuple2_string_list_u8_t){lent("user-agent"), {(uint8_t *)"toolbay-plugin/0.1", 18}};
  }
  if (body) request.body = (plugin_list_u8_t){(uint8_t *)body, strlen(body)};
  request.timeout_ms = (plugin_option_u64_t){true, TIMEOUT};
  request.max_body = (plugin_option_u64_t){true, MAX_BODY};
  toolbay_plugin_fetch_answer_t answer;
  toolbay_plugin_fetch_fetch_error_t error;
  // All its cases hold a text.
  if (!toolbay_plugin_fetch_fetch(&request, &answer, &error)) return no_answer(url, tb_text(&error.val.denied));
  return (tb_response){answer.status, copied(answer.body.ptr, answer.body.len), answer.body.len};
}
