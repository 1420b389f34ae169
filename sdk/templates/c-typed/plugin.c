#include "toolbay.h"

bool exports_plugin_greet(plugin_string_t *name, plugin_string_t *ret, plugin_string_t *err) {
  if (name->len == 0) return tb_fail(err, "whom should I greet?");
  return tb_answer(ret, "Hello, %s!", tb_text(name));
}
