#include "toolbay.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool exports_plugin_length(plugin_string_t *url, uint32_t *ret, plugin_string_t *err) {
  tb_response page = tb_fetch("GET", tb_text(url), NULL, NULL);
  if (page.status == 0) return tb_fail(err, "%s", page.body);
  if (page.status != 200) return tb_fail(err, "%s answered with status %d", tb_text(url), page.status);
  *ret = 0;
  // Each character of UTF-8 has one byte that is not 10xxxxxx.
  for (size_t at = 0; at < page.length; at++) *ret += (page.body[at] & 0xc0) != 0x80;
  return true;
}

bool exports_plugin_order(plugin_string_t *ret, plugin_string_t *err) {
  tb_reply reply = tb_ask("Which cake?", "{\"cake\":{\"type\":\"string\"},\"pieces\":{\"type\":\"integer\"}}");
  if (reply.action == TB_UNANSWERED) return tb_fail(err, "%s", reply.text);
  if (reply.action != TB_ACCEPTED) return tb_answer(ret, "no cake");
  return tb_answer(ret, "%s pieces of %s", tb_json(reply.text, "pieces"), tb_json(reply.text, "cake"));
}

bool exports_plugin_double(double number, double *ret, plugin_string_t *err) {
  tb_progress(1, 2, "adding");
  tb_result sum = tb_call("add", tb_format("{\"a\":%.17g,\"b\":%.17g}", number, number));
  if (!sum.ok) return tb_fail(err, "%s", sum.text);
  *ret = atof(tb_json(sum.text, "result"));
  return true;
}

bool exports_plugin_visit(plugin_string_t *name, int64_t *ret, plugin_string_t *err) {
  tb_log(TB_INFO, "%s is here", tb_text(name));
  tb_result count = tb_store_increment(tb_text(name), 1);
  if (!count.ok) return tb_fail(err, "%s", count.text);
  *ret = atoll(count.text);
  return true;
}

bool exports_plugin_note(plugin_string_t *name, plugin_string_t *ret, plugin_string_t *err) {
  char *path = tb_format("/notes/%s.txt", tb_text(name)), text[4096];
  FILE *file = fopen(path, "r");
  if (!file) return tb_fail(err, "%s: %s", path, strerror(errno));
  text[fread(text, 1, sizeof text - 1, file)] = 0;
  fclose(file);
  return tb_answer(ret, "%s", text);
}
