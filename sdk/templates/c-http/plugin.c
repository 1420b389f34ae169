// A server of MCP: what it answers to each message. `http.c` brings the messages.
// Each request has a sandbox of its own, so the server has no sessions.
#include "toolbay.h"

#include <string.h>

// Revisions of MCP that it speaks, the newest first.
static const char *const REVISIONS[] = {"2025-11-25", "2025-06-18", "2025-03-26"};

static const char TOOLS[] =
    "[{\"name\":\"greet\",\"description\":\"Greets somebody.\","
    "\"inputSchema\":{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\",\"description\":\"Whom.\"}},\"required\":[\"name\"]},"
    "\"annotations\":{\"readOnlyHint\":true}}]";

static const char *greet(const char *arguments, bool *is_error) {
  char *name = tb_json(arguments, "name");
  *is_error = !name || !*name;
  return *is_error ? "whom should I greet?" : tb_format("Hello, %s!", name);
}

static char *initialized(const char *params) {
  char *asked = tb_json(params, "protocolVersion");
  const char *revision = REVISIONS[0];
  for (size_t each = 0; asked && each < sizeof REVISIONS / sizeof *REVISIONS; each++) {
    if (strcmp(asked, REVISIONS[each]) == 0) revision = REVISIONS[each];
  }
  return tb_format(
      "{\"protocolVersion\":\"%s\",\"capabilities\":{\"tools\":{}},\"serverInfo\":{\"name\":\"{{name}}\",\"version\":\"0.1.0\"}}", revision);
}

// NULL: there is no such tool.
static char *called(const char *params) {
  char *name = tb_json(params, "name"), *arguments = tb_json(params, "arguments");
  if (!name || strcmp(name, "greet") != 0) return NULL;
  bool is_error;
  const char *text = greet(arguments ? arguments : "{}", &is_error);
  return tb_format("{\"content\":[{\"type\":\"text\",\"text\":%s}],\"isError\":%s}", tb_quoted(text), is_error ? "true" : "false");
}

static char *result(const char *method, const char *params) {
  if (strcmp(method, "initialize") == 0) return initialized(params);
  if (strcmp(method, "ping") == 0) return "{}";
  if (strcmp(method, "tools/list") == 0) return tb_format("{\"tools\":%s}", TOOLS);
  if (strcmp(method, "tools/call") == 0) return called(params);
  return NULL;
}

// The answer to a message. NULL: it is a notification.
char *answer(const char *message) {
  char *id = tb_json_raw(message, "id"), *method = tb_json(message, "method"), *params = tb_json(message, "params");
  if (!id) return NULL;
  char *done = method ? result(method, params ? params : "{}") : NULL;
  if (done) return tb_format("{\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":%s}", id, done);
  return tb_format("{\"jsonrpc\":\"2.0\",\"id\":%s,\"error\":{\"code\":-32601,\"message\":\"there is no such method, or no such tool\"}}", id);
}
