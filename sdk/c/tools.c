// The tools of `tb_tools`, as the host lists and calls them. The build adds this file where the world exports `tools`.
#include "toolbay.h"

#include <stdlib.h>
#include <string.h>

#define INVALID_PARAMS (-32602)

static void *cleared(size_t count, size_t size) {
  void *found = calloc(count ? count : 1, size);
  if (!found) abort();
  return found;
}

// The host frees what it was given, so that it gets copies.
static void set(plugin_string_t *to, const char *text) { plugin_string_dup(to, text); }

static void set_if(plugin_option_string_t *to, const char *text) {
  to->is_some = text != NULL;
  if (text) set(&to->val, text);
}

bool exports_toolbay_plugin_tools_list_tools(exports_toolbay_plugin_tools_list_tool_t *ret, exports_toolbay_plugin_tools_error_t *err) {
  (void)err;
  size_t count = 0;
  while (tb_tools[count].name) count++;
  ret->ptr = cleared(count, sizeof *ret->ptr);
  ret->len = count;
  for (size_t each = 0; each < count; each++) {
    const tb_tool *tool = &tb_tools[each];
    exports_toolbay_plugin_tools_tool_t *listed = &ret->ptr[each];
    set(&listed->name, tool->name);
    set_if(&listed->title, tool->title);
    set_if(&listed->description, tool->description);
    set(&listed->input_schema, tool->input ? tool->input : "{\"type\":\"object\",\"properties\":{}}");
    if (tool->output) {
      listed->output_schema.is_some = true;
      set(&listed->output_schema.val, tool->output);
    }
    exports_toolbay_plugin_tools_tool_annotations_t *hints = &listed->annotations.val;
    listed->annotations.is_some = tool->read_only || tool->destructive || tool->idempotent || tool->open_world;
    hints->read_only_hint = (plugin_option_bool_t){tool->read_only, tool->read_only};
    hints->destructive_hint = (plugin_option_bool_t){tool->destructive, tool->destructive};
    hints->idempotent_hint = (plugin_option_bool_t){tool->idempotent, tool->idempotent};
    hints->open_world_hint = (plugin_option_bool_t){tool->open_world, tool->open_world};
  }
  return true;
}

bool exports_toolbay_plugin_tools_call_tool(
    plugin_string_t *name, exports_toolbay_plugin_tools_json_t *arguments, exports_toolbay_plugin_tools_call_result_t *ret,
    exports_toolbay_plugin_tools_error_t *err) {
  char *wanted = tb_text(name);
  const tb_tool *tool = tb_tools;
  while (tool->name && strcmp(tool->name, wanted) != 0) tool++;
  if (!tool->name) {
    memset(err, 0, sizeof *err);
    err->code = INVALID_PARAMS;
    set(&err->message, tb_format("there is no tool %s", wanted));
    return false;
  }
  tb_result answer = tool->run(tb_text(arguments));
  memset(ret, 0, sizeof *ret);
  ret->content.ptr = cleared(1, sizeof *ret->content.ptr);
  ret->content.len = 1;
  ret->content.ptr->tag = TOOLBAY_PLUGIN_TYPES_CONTENT_TEXT;
  set(&ret->content.ptr->val.text.text, answer.text);
  ret->is_error = !answer.ok;
  if (answer.ok && tool->output) {
    ret->structured_content.is_some = true;
    set(&ret->structured_content.val, answer.text);
  }
  return true;
}
