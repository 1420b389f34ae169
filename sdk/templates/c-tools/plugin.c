#include "toolbay.h"

static tb_result greet(const char *arguments) {
  char *name = tb_json(arguments, "name");
  if (!*name) return tb_error("whom should I greet?");
  return tb_ok("Hello, %s!", name);
}

const tb_tool tb_tools[] = {
    {
        .name = "greet",
        .description = "Greets somebody.",
        .input = "{\"type\":\"object\",\"required\":[\"name\"],\"properties\":{"
                 "\"name\":{\"type\":\"string\",\"description\":\"Whom.\"}}}",
        .read_only = true,
        .run = greet,
    },
    {0},
};
