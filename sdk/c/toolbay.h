// What a running tool can do, in C: answers, progress, logs, questions, other tools, HTTP, and keeping things.
//
// Texts of the host are `plugin_string_t`: bytes and a length, without a NUL at the end. `tb_text` makes a C string of one.
// Every call of a tool has a sandbox of its own, whose memory is gone when the call ends: nothing here has to be freed.
#ifndef TOOLBAY_H
#define TOOLBAY_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "plugin.h"

#define TB_PRINTF(text, values) __attribute__((__format__(__printf__, text, values)))

/// A C string of a text of the host.
char *tb_text(const plugin_string_t *text);

/// A C string, written as printf does.
char *tb_format(const char *format, ...) TB_PRINTF(1, 2);

/// Answers a text, written as printf does:  return tb_answer(ret, "Hello, %s!", name);
bool tb_answer(plugin_string_t *ret, const char *format, ...) TB_PRINTF(2, 3);

/// Fails with a text that the caller reads:  return tb_fail(err, "whom should I greet?");
bool tb_fail(plugin_string_t *err, const char *format, ...) TB_PRINTF(2, 3);

/// Tells the client how far the call has come. `done` only ever rises. `total`: 0 where nobody knows the end.
void tb_progress(double done, double total, const char *text);

/// How serious a log message is.
typedef enum { TB_DEBUG, TB_INFO, TB_NOTICE, TB_WARNING, TB_ERROR, TB_CRITICAL, TB_ALERT, TB_EMERGENCY } tb_level;

/// Logs a sentence, written as printf does.
void tb_log(tb_level level, const char *format, ...) TB_PRINTF(2, 3);

/// A value of JSON text:  tb_json("{\"cake\":\"apple\"}", "cake")  is  apple. A string without its quotes; anything else as it
/// stands in the text. NULL: it has no such member, or is no object. Only members of the outer object are found.
char *tb_json(const char *object, const char *name);

/// The same as it stands in the text, a string with its quotes.
char *tb_json_raw(const char *object, const char *name);

/// A text as a string of JSON, in its quotes.
char *tb_quoted(const char *text);

/// What came of something that can fail: the text of it, or why not.
typedef struct {
  bool ok;
  /// Never NULL.
  char *text;
} tb_result;

/// What a tool of `tb_tools` answers, written as printf does:  return tb_ok("Hello, %s!", name);
tb_result tb_ok(const char *format, ...) TB_PRINTF(1, 2);

/// What one fails with.
tb_result tb_error(const char *format, ...) TB_PRINTF(1, 2);

/// A tool that the code describes, for `--kind tools`.
typedef struct {
  const char *name;
  const char *title;
  /// What it does and when to use it: the model reads this.
  const char *description;
  /// JSON Schema of the arguments, which the host checks. NULL: it takes none.
  const char *input;
  /// JSON Schema of what it answers, which is a JSON object then. NULL: it answers a text.
  const char *output;
  bool read_only, destructive, idempotent, open_world;
  /// Takes its arguments as a JSON object.
  tb_result (*run)(const char *arguments);
} tb_tool;

/// All of them, and `{0}` as the last. The plugin defines it.
extern const tb_tool tb_tools[];

/// What a person did with a question.
typedef enum { TB_ACCEPTED, TB_DECLINED, TB_CANCELLED, TB_UNANSWERED } tb_action;

typedef struct {
  tb_action action;
  /// The form as JSON; of TB_UNANSWERED, why.
  char *text;
} tb_reply;

/// Asks the person to fill in a form. `properties`: the JSON Schemas of its fields, such as  {"cake":{"type":"string"}}.
/// What stands before a question may run twice: ask first and act afterwards.
tb_reply tb_ask(const char *message, const char *properties);

/// Calls another tool, as the operator grants it. Its structured content as JSON, or else its text.
tb_result tb_call(const char *tool, const char *arguments);

/// A value that was kept. NULL in `text`: never; `ok` and an empty text: there is none. `found` tells an empty value from none.
tb_result tb_store_get(const char *key, bool *found);

/// Keeps a value. `seconds`: 0 for ever.
tb_result tb_store_set(const char *key, const char *value, uint64_t seconds);

/// Adds to a number in one step. `text` is the number then.
tb_result tb_store_increment(const char *key, int64_t by);

/// Deletes a value, if there is one.
tb_result tb_store_delete(const char *key);

/// An answer over HTTP.
typedef struct {
  /// 0: there is none, and `body` says why.
  int status;
  /// With a NUL behind it.
  char *body;
  size_t length;
} tb_response;

/// An HTTP request, as the operator grants the host: `http = ["api.example.com"]`. Redirects are not followed.
/// `headers`: lines such as "accept: text/plain\nx-key: 1", or NULL. `body`: or NULL.
tb_response tb_fetch(const char *method, const char *url, const char *headers, const char *body);

#endif
