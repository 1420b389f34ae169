// MCP's Streamable HTTP, as far as a server without sessions needs it: a message in, its answer out as JSON.
#include "toolbay.h"

#include <stdlib.h>
#include <string.h>

// As much as one write takes.
#define PIECE 4096

// In plugin.c.
char *answer(const char *message);

// The whole body, with a NUL behind it. NULL: it broke off.
static char *read_body(wasi_http_types_borrow_incoming_request_t request) {
  wasi_http_types_own_incoming_body_t body;
  wasi_http_types_own_input_stream_t stream;
  if (!wasi_http_types_method_incoming_request_consume(request, &body)) return NULL;
  if (!wasi_http_types_method_incoming_body_stream(wasi_http_types_borrow_incoming_body(body), &stream)) return NULL;
  char *text = NULL;
  size_t length = 0;
  for (;;) {
    plugin_list_u8_t part = {NULL, 0};
    wasi_io_streams_stream_error_t error;
    bool is_more = wasi_io_streams_method_input_stream_blocking_read(wasi_io_streams_borrow_input_stream(stream), 65536, &part, &error);
    text = realloc(text, length + part.len + 1);
    if (!text || (!is_more && error.tag != WASI_IO_STREAMS_STREAM_ERROR_CLOSED)) return NULL;
    if (part.len) memcpy(text + length, part.ptr, part.len);
    length += part.len;
    text[length] = 0;
    if (!is_more) break;
  }
  wasi_io_streams_input_stream_drop_own(stream);
  wasi_http_types_incoming_body_drop_own(body);
  return text;
}

static void respond(wasi_http_types_own_response_outparam_t out, uint16_t status, const char *text) {
  wasi_http_types_own_fields_t headers = wasi_http_types_constructor_fields();
  if (text) {
    plugin_string_t name;
    plugin_string_set(&name, "content-type");
    wasi_http_types_field_value_t value = {(uint8_t *)"application/json", 16};
    wasi_http_types_header_error_t error;
    wasi_http_types_method_fields_append(wasi_http_types_borrow_fields(headers), &name, &value, &error);
  }
  wasi_http_types_own_outgoing_response_t response = wasi_http_types_constructor_outgoing_response(headers);
  wasi_http_types_borrow_outgoing_response_t lent = wasi_http_types_borrow_outgoing_response(response);
  wasi_http_types_own_outgoing_body_t body;
  wasi_http_types_method_outgoing_response_set_status_code(lent, status);
  wasi_http_types_method_outgoing_response_body(lent, &body);
  wasi_http_types_result_own_outgoing_response_error_code_t well = {.is_err = false, .val.ok = response};
  wasi_http_types_static_response_outparam_set(out, &well);
  if (text) {
    wasi_http_types_own_output_stream_t stream;
    wasi_http_types_method_outgoing_body_write(wasi_http_types_borrow_outgoing_body(body), &stream);
    for (size_t rest = strlen(text); rest;) {
      size_t count = rest < PIECE ? rest : PIECE;
      plugin_list_u8_t part = {(uint8_t *)text, count};
      wasi_io_streams_stream_error_t error;
      // Who does not read on has left.
      if (!wasi_io_streams_method_output_stream_blocking_write_and_flush(wasi_io_streams_borrow_output_stream(stream), &part, &error)) break;
      text += count;
      rest -= count;
    }
    wasi_io_streams_output_stream_drop_own(stream);
  }
  wasi_http_types_error_code_t code;
  wasi_http_types_static_outgoing_body_finish(body, NULL, &code);
}

void exports_wasi_http_incoming_handler_handle(wasi_http_types_own_incoming_request_t request, wasi_http_types_own_response_outparam_t out) {
  wasi_http_types_borrow_incoming_request_t lent = wasi_http_types_borrow_incoming_request(request);
  wasi_http_types_method_t method;
  wasi_http_types_method_incoming_request_method(lent, &method);
  plugin_string_t target;
  char *path = wasi_http_types_method_incoming_request_path_with_query(lent, &target) ? tb_text(&target) : "";
  if (method.tag != WASI_HTTP_TYPES_METHOD_POST) return respond(out, 405, NULL);
  if (strncmp(path, "/mcp", 4) != 0 || (path[4] && path[4] != '?')) return respond(out, 404, NULL);
  char *message = read_body(lent);
  if (!message || !tb_json(message, "jsonrpc")) {
    return respond(out, 400, "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32700,\"message\":\"this is no message of JSON-RPC\"}}");
  }
  char *answered = answer(message);
  respond(out, answered ? 200 : 202, answered);
}
