// MCP's Streamable HTTP, as far as a server without sessions needs it: a message in, its answer out as JSON.
import { Fields, OutgoingBody, OutgoingResponse, ResponseOutparam } from 'wasi:http/types@0.2.12';

// As much as one write takes.
const PIECE = 4096;

const PARSE_ERROR = -32700;

/** The interface `wasi:http/incoming-handler`, of a function that answers messages. */
export function serve(answer) {
  return {
    async handle(request, out) {
      const [path] = (request.pathWithQuery() ?? '').split('?');
      if (request.method().tag !== 'post') return respond(out, 405);
      if (path !== '/mcp') return respond(out, 404);
      let message;
      try {
        message = JSON.parse(read(request));
      } catch (error) {
        return respond(out, 400, { jsonrpc: '2.0', id: null, error: { code: PARSE_ERROR, message: error.message } });
      }
      const answered = await answer(message);
      respond(out, answered === undefined ? 202 : 200, answered);
    },
  };
}

function read(request) {
  const body = request.consume();
  const stream = body.stream();
  const bytes = [];
  try {
    for (;;) for (const byte of stream.blockingRead(1 << 16)) bytes.push(byte);
  } catch (error) {
    if ((error?.payload ?? error)?.tag !== 'closed') throw new Error('the request broke off');
  }
  stream[Symbol.dispose]();
  body[Symbol.dispose]();
  return new TextDecoder().decode(Uint8Array.from(bytes));
}

function respond(out, status, answered) {
  const encoder = new TextEncoder();
  const headers = answered === undefined ? [] : [['content-type', encoder.encode('application/json')]];
  const response = new OutgoingResponse(Fields.fromList(headers));
  response.setStatusCode(status);
  const body = response.body();
  ResponseOutparam.set(out, { tag: 'ok', val: response });
  if (answered !== undefined) {
    const bytes = encoder.encode(JSON.stringify(answered));
    const stream = body.write();
    for (let at = 0; at < bytes.length; at += PIECE) stream.blockingWriteAndFlush(bytes.slice(at, at + PIECE));
    stream[Symbol.dispose]();
  }
  OutgoingBody.finish(body, null);
}
