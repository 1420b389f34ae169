// The host, as C reaches it: from the SDK's types to the contract's and back.
#include "toolbay.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

// An answer larger than this is refused, before the sandbox's memory is full.
#define MAX_BODY ((size_t)8 << 20)
// As much as WASI lets one write at once.
#define WRITE_AT_ONCE 4096
// 30 seconds, in nanoseconds.
#define TIMEOUT UINT64_C(30000000000)

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

char *tb_json(const char *object, const char *name) {
  const char *at = after_space(object);
  if (*at != '{') return NULL;
  at = after_space(at + 1);
  while (*at == '"') {
    const char *end = after_value(at);
    if (!end) return NULL;
    char *key = unquoted(at + 1, end - 1);
    at = after_space(end);
    if (*at != ':') return NULL;
    at = after_space(at + 1);
    const char *value = at;
    end = after_value(at);
    if (!end || end == value) return NULL;
    if (strcmp(key, name) == 0) {
      return *value == '"' ? unquoted(value + 1, end - 1) : copied(value, (size_t)(end - value));
    }
    at = after_space(end);
    if (*at != ',') return NULL;
    at = after_space(at + 1);
  }
  return NULL;
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
  char *text = tb_format("%s cannot be reached: %s", url, why);
  return (tb_response){0, text, strlen(text)};
}

static tb_response no_answer_by(const char *url, const wasi_http_types_error_code_t *code) {
  switch (code->tag) {
    case WASI_HTTP_TYPES_ERROR_CODE_HTTP_REQUEST_DENIED:
    case WASI_HTTP_TYPES_ERROR_CODE_DESTINATION_IP_PROHIBITED: return no_answer(url, "it is not granted in the plugin's configuration");
    case WASI_HTTP_TYPES_ERROR_CODE_DNS_TIMEOUT:
    case WASI_HTTP_TYPES_ERROR_CODE_CONNECTION_TIMEOUT:
    case WASI_HTTP_TYPES_ERROR_CODE_CONNECTION_READ_TIMEOUT:
    case WASI_HTTP_TYPES_ERROR_CODE_CONNECTION_WRITE_TIMEOUT:
    case WASI_HTTP_TYPES_ERROR_CODE_HTTP_RESPONSE_TIMEOUT: return no_answer(url, "it did not answer in time");
    case WASI_HTTP_TYPES_ERROR_CODE_DNS_ERROR:
    case WASI_HTTP_TYPES_ERROR_CODE_DESTINATION_NOT_FOUND: return no_answer(url, "its name is not known");
    case WASI_HTTP_TYPES_ERROR_CODE_CONNECTION_REFUSED: return no_answer(url, "the connection was refused");
    case WASI_HTTP_TYPES_ERROR_CODE_INTERNAL_ERROR:
      if (code->val.internal_error.is_some) return no_answer(url, tb_text(&code->val.internal_error.val));
      return no_answer(url, "it failed");
    default: return no_answer(url, tb_format("it failed with WASI's error %d", code->tag));
  }
}

static bool add_header(wasi_http_types_own_fields_t fields, const char *name, size_t name_length, const char *value, size_t length) {
  plugin_string_t key = {(uint8_t *)name, name_length};
  wasi_http_types_field_value_t bytes = {(uint8_t *)value, length};
  wasi_http_types_header_error_t error;
  return wasi_http_types_method_fields_append(wasi_http_types_borrow_fields(fields), &key, &bytes, &error);
}

// Adds each line. NULL: all is well; else the line that is no header.
static char *add_headers(wasi_http_types_own_fields_t fields, const char *lines) {
  for (const char *at = lines; at && *at;) {
    size_t length = strcspn(at, "\r\n");
    const char *colon = memchr(at, ':', length);
    if (length) {
      const char *value = colon ? colon + 1 : at;
      while (value < at + length && *value == ' ') value++;
      if (!colon || !add_header(fields, at, (size_t)(colon - at), value, (size_t)(at + length - value))) return copied(at, length);
    }
    at += length;
    at += strspn(at, "\r\n");
  }
  return NULL;
}

static bool method_of(const char *name, wasi_http_types_method_t *method) {
  static const char *const known[] = {"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"};
  for (uint8_t each = 0; each < sizeof known / sizeof *known; each++) {
    if (strcasecmp(name, known[each]) == 0) {
      method->tag = each;
      return true;
    }
  }
  return false;
}

static bool send_body(wasi_http_types_own_outgoing_body_t body, const char *text) {
  wasi_http_types_own_output_stream_t stream;
  if (!wasi_http_types_method_outgoing_body_write(wasi_http_types_borrow_outgoing_body(body), &stream)) return false;
  bool is_well = true;
  for (size_t rest = strlen(text); rest && is_well;) {
    size_t count = rest < WRITE_AT_ONCE ? rest : WRITE_AT_ONCE;
    plugin_list_u8_t part = {(uint8_t *)text, count};
    wasi_io_streams_stream_error_t error;
    is_well = wasi_io_streams_method_output_stream_blocking_write_and_flush(wasi_io_streams_borrow_output_stream(stream), &part, &error);
    text += count;
    rest -= count;
  }
  wasi_io_streams_output_stream_drop_own(stream);
  return is_well;
}

static tb_response received(const char *url, wasi_http_types_own_incoming_response_t response) {
  wasi_http_types_borrow_incoming_response_t lent_response = wasi_http_types_borrow_incoming_response(response);
  tb_response answer = {wasi_http_types_method_incoming_response_status(lent_response), copied("", 0), 0};
  wasi_http_types_own_incoming_body_t body;
  wasi_http_types_own_input_stream_t stream;
  if (!wasi_http_types_method_incoming_response_consume(lent_response, &body)) return answer;
  if (!wasi_http_types_method_incoming_body_stream(wasi_http_types_borrow_incoming_body(body), &stream)) return answer;
  for (;;) {
    plugin_list_u8_t part;
    wasi_io_streams_stream_error_t error;
    if (!wasi_io_streams_method_input_stream_blocking_read(wasi_io_streams_borrow_input_stream(stream), 65536, &part, &error)) {
      if (error.tag != WASI_IO_STREAMS_STREAM_ERROR_CLOSED) answer = no_answer(url, "the answer broke off");
      break;
    }
    if (answer.length + part.len > MAX_BODY) {
      answer = no_answer(url, "it answered more than 8 MiB");
      break;
    }
    answer.body = memory(answer.body, answer.length + part.len + 1);
    memcpy(answer.body + answer.length, part.ptr, part.len);
    answer.length += part.len;
    answer.body[answer.length] = 0;
    plugin_list_u8_free(&part);
  }
  wasi_io_streams_input_stream_drop_own(stream);
  wasi_http_types_incoming_body_drop_own(body);
  wasi_http_types_incoming_response_drop_own(response);
  return answer;
}

tb_response tb_fetch(const char *method, const char *url, const char *headers, const char *body) {
  bool is_https = strncasecmp(url, "https://", 8) == 0;
  if (!is_https && strncasecmp(url, "http://", 7) != 0) return no_answer(url, "it is no http or https URL");
  const char *host = url + (is_https ? 8 : 7);
  size_t host_length = strcspn(host, "/?#");
  if (!host_length || memchr(host, '@', host_length)) return no_answer(url, "it is no http or https URL");
  const char *path = host + host_length;
  char *target = copied(path, strcspn(path, "#"));
  if (*target != '/') target = tb_format("/%s", target);

  wasi_http_types_method_t known = {0};
  if (!method_of(method, &known)) return no_answer(url, tb_format("%s is no method of HTTP", method));
  wasi_http_types_own_fields_t fields = wasi_http_types_constructor_fields();
  char *wrong = add_headers(fields, headers);
  if (wrong) return no_answer(url, tb_format("the header %s may not be set, or not to this", wrong));
  plugin_string_t user_agent = lent("user-agent"), content_length = lent("content-length");
  if (!wasi_http_types_method_fields_has(wasi_http_types_borrow_fields(fields), &user_agent)) {
    add_header(fields, "user-agent", 10, "toolbay-plugin/0.1", 18);
  }
  bool has_body = body && *body;
  if (has_body && !wasi_http_types_method_fields_has(wasi_http_types_borrow_fields(fields), &content_length)) {
    char *length = tb_format("%zu", strlen(body));
    add_header(fields, "content-length", 14, length, strlen(length));
  }
  wasi_http_types_own_outgoing_request_t request = wasi_http_types_constructor_outgoing_request(fields);
  wasi_http_types_borrow_outgoing_request_t lent_request = wasi_http_types_borrow_outgoing_request(request);
  wasi_http_types_scheme_t scheme = {.tag = is_https ? WASI_HTTP_TYPES_SCHEME_HTTPS : WASI_HTTP_TYPES_SCHEME_HTTP};
  plugin_string_t authority = {(uint8_t *)host, host_length}, path_text = lent(target);
  if (!wasi_http_types_method_outgoing_request_set_method(lent_request, &known) ||
      !wasi_http_types_method_outgoing_request_set_scheme(lent_request, &scheme) ||
      !wasi_http_types_method_outgoing_request_set_authority(lent_request, &authority) ||
      !wasi_http_types_method_outgoing_request_set_path_with_query(lent_request, &path_text)) {
    return no_answer(url, "it is no http or https URL");
  }
  wasi_http_types_own_request_options_t options = wasi_http_types_constructor_request_options();
  wasi_http_types_borrow_request_options_t lent_options = wasi_http_types_borrow_request_options(options);
  wasi_http_types_duration_t limit = TIMEOUT;
  // A host may not know these options; its own limits hold then.
  (void)wasi_http_types_method_request_options_set_connect_timeout(lent_options, &limit);
  (void)wasi_http_types_method_request_options_set_first_byte_timeout(lent_options, &limit);
  (void)wasi_http_types_method_request_options_set_between_bytes_timeout(lent_options, &limit);

  wasi_http_types_own_outgoing_body_t outgoing;
  if (has_body && !wasi_http_types_method_outgoing_request_body(lent_request, &outgoing)) return no_answer(url, "it takes no body");
  wasi_http_types_own_future_incoming_response_t coming;
  wasi_http_types_error_code_t code;
  if (!wasi_http_outgoing_handler_handle(request, &options, &coming, &code)) return no_answer_by(url, &code);
  if (has_body) {
    // A server may answer before it has read everything: then that answer counts, and not that writing ended.
    if (send_body(outgoing, body)) {
      (void)wasi_http_types_static_outgoing_body_finish(outgoing, NULL, &code);
    } else {
      wasi_http_types_outgoing_body_drop_own(outgoing);
    }
  }
  wasi_http_types_borrow_future_incoming_response_t lent_coming = wasi_http_types_borrow_future_incoming_response(coming);
  wasi_http_types_own_pollable_t ready = wasi_http_types_method_future_incoming_response_subscribe(lent_coming);
  wasi_io_poll_method_pollable_block(wasi_io_poll_borrow_pollable(ready));
  wasi_io_poll_pollable_drop_own(ready);
  wasi_http_types_result_result_own_incoming_response_error_code_void_t got;
  if (!wasi_http_types_method_future_incoming_response_get(lent_coming, &got) || got.is_err) return no_answer(url, "no answer came");
  if (got.val.ok.is_err) return no_answer_by(url, &got.val.ok.val.err);
  return received(url, got.val.ok.val.ok);
}
