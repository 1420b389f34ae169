"""Tools, resources and prompts for Toolbay as plain functions: `@tool`, `@resource`, `@prompt`, and what a running tool can do.

    from typing import Annotated
    from toolbay_plugin import tool

    @tool
    def greet(name: Annotated[str, "Whom."], times: int = 1) -> str:
        "Greets somebody."
        return " ".join([f"Hello, {name}!"] * times)

Annotations become JSON Schemas, and the host checks arguments before the tool runs. An exception is told to the caller as an error.
Only what was imported when the plugin was built is there when it runs: import at the top of your modules.

Outside of the host, in your tests, the same functions work: what a tool tells is in `double`, and `double.answers` is what people answer.
"""

import base64
import collections.abc
import dataclasses
import datetime
import decimal
import enum
import functools
import inspect
import json
import math
import pathlib
import re
import time
import traceback
import types
import typing
import urllib.parse
import uuid

# What libraries import late, which would not be there any more: see above.
import csv  # noqa: F401
import encodings.idna  # noqa: F401
import importlib.resources  # noqa: F401
import linecache  # noqa: F401

try:
    from wit_world.imports import context as _context, log as _log, progress as _progress
    from wit_world.exports import tools as _exported

    try:
        from wit_world.imports import types as _types
    except ImportError:
        from wit_world.imports import toolbay_plugin_types as _types
    try:
        from wit_world.exports import resources as _exported_resources
    except ImportError:
        _exported_resources = None
    try:
        from wit_world.exports import prompts as _exported_prompts
    except ImportError:
        _exported_prompts = None
    try:
        from wit_world.exports import completion as _exported_completion
    except ImportError:
        _exported_completion = None
    try:
        from wit_world.imports import client as _client
    except ImportError:
        _client = None
    try:
        from wit_world.imports import calls as _calls
    except ImportError:
        _calls = None
    try:
        from wit_world.imports import store as _store
    except ImportError:
        _store = None
    try:
        from wit_world.imports import fetch as _fetch
    except ImportError:
        _fetch = None
    from componentize_py_types import Err
except ImportError as error:
    if (error.name or "").split(".")[0] not in ("wit_world", "componentize_py_types"):
        raise
    _exported = _exported_resources = _exported_prompts = _exported_completion = None

    class Err(Exception):
        """An error of a plain function, as the host takes it."""

        def __init__(self, value):
            super().__init__(value)
            self.value = value


INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
_tools = {}
_resources = {}
_prompts = {}


@dataclasses.dataclass
class Double:
    """What a tool told outside of the host, and what it is answered."""

    progress: list = dataclasses.field(default_factory=list)
    logs: list = dataclasses.field(default_factory=list)
    questions: list = dataclasses.field(default_factory=list)
    requests: list = dataclasses.field(default_factory=list)
    pages: dict = dataclasses.field(default_factory=dict)
    answers: list = dataclasses.field(default_factory=list)
    tools: dict = dataclasses.field(default_factory=dict)
    calls: list = dataclasses.field(default_factory=list)
    store: dict = dataclasses.field(default_factory=dict)


double = Double()


@dataclasses.dataclass
class Image:
    """A picture, from the bytes of its file."""

    data: bytes
    mime_type: str = "image/png"


@dataclasses.dataclass
class Audio:
    """A sound, from the bytes of its file."""

    data: bytes
    mime_type: str = "audio/wav"


def tool(function=None, *, name=None, title=None, description=None, read_only=None, destructive=None, idempotent=None, open_world=None):
    """Offers a function as a tool. Its docstring is the description, its annotations are the schema."""

    def offer(function):
        called = name or function.__name__
        if not re.fullmatch(r"[A-Za-z0-9_.-]{1,128}", called):
            raise ValueError(f"a tool's name must be 1 to 128 of A-Z a-z 0-9 _ - . and not {called!r}")
        if called in _tools:
            raise ValueError(f"there are two tools of the name {called}")
        _import_loop(function)
        hints = (read_only, destructive, idempotent, open_world)
        _tools[called] = _Tool(function, called, title, description or inspect.getdoc(function), hints)
        return function

    return offer if function is None else offer(function)


def call(name, arguments):
    """Calls a tool as a client does, with JSON: for tests. Answers what it returns."""
    return _tools[name].run(dict(arguments))


def progress(done, total=None, text=None):
    """Tells the client how far the call has come. `done` only ever rises."""
    if _exported:
        _progress.report(float(done), None if total is None else float(total), text)
    else:
        double.progress.append((done, total, text))


def log(text, level="info"):
    """Logs a sentence."""
    if _exported:
        _log.message(_types.LogLevel[level.upper()], text)
    else:
        double.logs.append((level, text))


def principal():
    """The name under which the caller was let in, if the host has authentication."""
    return _context.principal() if _exported else None


def roles():
    """The roles that the caller was given when it was let in."""
    return list(_context.roles()) if _exported else []


def claims():
    """Claims of the caller's token that the operator lets plugins know, if there are any."""
    text = _context.claims() if _exported else None
    return None if text is None else json.loads(text)


def remaining():
    """Seconds until the host ends this call."""
    return _context.remaining_ms() / 1000 if _exported else 60.0


def ask(message, form=None):
    """Asks the person to fill in a form: a dataclass of texts, numbers, booleans and choices.

    What was filled in, or None where the person said no. What stands before a question may run twice: ask first and act afterwards.
    """
    schema = _schema_of(form) if form else {"type": "object", "properties": {}}
    if _exported:
        question = _client.Question_Form(_client.Form(message, json.dumps(schema), None))
        try:
            reply = _client.ask([_client.Request(None, question)])[0].value
        except Err as error:
            why = error.value.value
            raise RuntimeError(f"there is no answer: {getattr(why, 'message', why)}") from None
        if reply.action != _client.Action.ACCEPT:
            return None
        content = json.loads(reply.content or "{}")
    else:
        double.questions.append(message)
        if not double.answers:
            raise RuntimeError("there is no answer: put what people answer into double.answers")
        content = double.answers.pop(0)
        if content is None:
            return None
    return _read(form, content) if form else content


def call_tool(name, **arguments):
    """Calls another tool, of any plugin or server. The operator grants it: `calls` in `[plugin.NAME]`.

    Answers its structured content, or else its text. A tool that failed raises its text.
    """
    if not _exported:
        return _doubled(name, arguments)
    try:
        return _answered(_calls.call(name, json.dumps(_plain(arguments))))
    except Err as error:
        raise RuntimeError(_reason(error.value)) from None


def call_all(calls):
    """Calls several at once, each as `(name, arguments)`. In their order: what each answered, or its exception."""
    if _exported:
        requests = [_calls.Request(name, json.dumps(_plain(arguments))) for name, arguments in calls]
        makes = [functools.partial(_unwrapped, result) for result in _calls.call_all(requests)]
    else:
        makes = [functools.partial(_doubled, name, arguments) for name, arguments in calls]
    answers = []
    for make in makes:
        try:
            answers.append(make())
        except RuntimeError as error:
            answers.append(error)
    return answers


def _doubled(name, arguments):
    double.calls.append((name, arguments))
    if name not in double.tools:
        raise RuntimeError(f"there is no tool {name!r}: put a function into double.tools")
    return double.tools[name](**arguments)


def _unwrapped(result):
    if isinstance(result, Err):
        raise RuntimeError(_reason(result.value))
    return _answered(result.value)


def _answered(answer):
    text = "\n".join(block.value.text for block in answer.content if isinstance(block, _types.Content_Text))
    if answer.is_error:
        raise RuntimeError(text)
    return text if answer.structured_content is None else json.loads(answer.structured_content)


def _reason(error):
    why = getattr(error, "value", error)
    return str(getattr(why, "message", why))


class _Store:
    """What the plugin keeps from one call to the next, as JSON. The operator grants it: `store` in `[plugin.NAME]`."""

    def get(self, key, default=None):
        """A value, or `default`."""
        found = self.entry(key)
        return default if found is None else found[0]

    def entry(self, key):
        """A value and its version, or None."""
        if not _exported:
            found = double.store.get(key)
            return None if found is None else (json.loads(found[0]), found[1])
        found = self._run(lambda: _store.get(key))
        return None if found is None else (json.loads(found.value), found.version)

    def set(self, key, value, *, ttl=None, version=None, absent=False):
        """Sets a value. `ttl`: for so many seconds; `version`: only if it is still that one; `absent`: only if there is none. Whether it was set."""
        data = json.dumps(_plain(value), ensure_ascii=False).encode()
        if not _exported:
            found = double.store.get(key)
            if (absent and found is not None) or (version is not None and (found is None or found[1] != version)):
                return False
            double.store[key] = (data, max((known for _, known in double.store.values()), default=0) + 1)
            return True
        when = _store.Condition_Absent() if absent else _store.Condition_Always() if version is None else _store.Condition_Version(version)
        return self._run(lambda: _store.set(key, data, None if ttl is None else int(ttl * 1000), when)) is not None

    def delete(self, key):
        """Deletes a value. Whether there was one."""
        if not _exported:
            return double.store.pop(key, None) is not None
        return self._run(lambda: _store.delete(key, _store.Condition_Always()))

    def increment(self, key, by=1):
        """Adds to a number in one step, and answers what it is then."""
        if not _exported:
            number = self.get(key, 0) + by
            self.set(key, number)
            return number
        return self._run(lambda: _store.increment(key, by))

    def keys(self, prefix=""):
        """All keys that begin so, in order."""
        if not _exported:
            return sorted(key for key in double.store if key.startswith(prefix))
        found = []
        while part := self._run(lambda: _store.keys(prefix, found[-1] if found else None, 1000)):
            found += part
        return found

    def _run(self, function):
        try:
            return function()
        except Err as error:
            raise RuntimeError(_reason(error.value)) from None


store = _Store()


@dataclasses.dataclass
class Contents:
    """A piece of what was read: a text, bytes, or what becomes JSON."""

    body: typing.Any
    mime_type: str | None = None
    uri: str | None = None


@dataclasses.dataclass
class Message:
    """One message of a conversation: a text, `Image` or `Audio`, said by "user" or "assistant"."""

    content: typing.Any
    role: str = "user"


def resource(uri, *, name=None, title=None, description=None, mime_type=None, complete=None):
    """Offers something to read: at one address, or by a template of many, whose variables are parameters.

        @resource("note:///{name}")
        def note(name: str) -> str:
            "A note."

    `{name}` ends at `/`, `{+path}` does not. The function answers a text, bytes, a dataclass or dict (JSON), `Contents` or a list of them, or
    None: there is no such resource. `complete`: values for a variable, `{"name": ["a", "b"]}` or `{"name": function}`.
    """
    if not isinstance(uri, str) or not re.match(r"[^:]+:.", uri):
        raise ValueError(f"a resource needs an address, such as notes://today, and not {uri!r}")

    def decorate(function):
        _import_loop(function)
        if uri in _resources:
            raise ValueError(f"there are two resources at {uri}")
        _resources[uri] = _Resource(function, uri, name, title, description, mime_type, complete or {})
        return function

    return decorate


def prompt(function=None, *, name=None, title=None, description=None, complete=None):
    """Offers messages that a person can start a conversation with. Parameters are texts; one with a default may be left out.

        @prompt(complete={"language": ["python", "rust"]})
        def review(code: Annotated[str, "The code."], language: str = "unknown") -> str:
            "Reviews code."

    The function answers what the person says, a `Message`, or a list of them.
    """

    def decorate(function):
        _import_loop(function)
        given = name or function.__name__
        if not re.fullmatch(r"[A-Za-z0-9_.-]{1,128}", given):
            raise ValueError(f"a prompt's name must be 1 to 128 of A-Z a-z 0-9 _ - . and not {given!r}")
        if given in _prompts:
            raise ValueError(f"there are two prompts of the name {given}")
        _prompts[given] = _Prompt(function, given, title, description, complete or {})
        return function

    return decorate(function) if function else decorate


def read(uri):
    """Reads a resource as a client does, for tests: a list of `Contents`, or None."""
    for known in _resources.values():
        values = known.values(uri)
        if values is not None:
            return known.read(uri, values)
    return None


def fill(name, arguments=None):
    """Fills in a prompt as a client does, for tests: a list of `Message`."""
    return _prompts[name].get(arguments or {})


@dataclasses.dataclass
class Response:
    """An answer, whatever its status."""

    status: int
    headers: dict
    body: bytes
    url: str

    @property
    def ok(self):
        """This answer, if its status is a success."""
        if not 200 <= self.status < 300:
            raise RuntimeError(f"{self.url} answered with status {self.status}")
        return self

    def text(self):
        return self.body.decode()

    def json(self):
        return json.loads(self.body)


def fetch(url, method="GET", *, headers=None, body=None, json_body=None, timeout=30, max_body=8 << 20, redirects=5):
    """An HTTP request: `fetch(url).ok.json()`. The operator grants the hosts that a plugin may reach.

    Redirects are followed as browsers do. `timeout` is in seconds, for each exchange; `max_body` is in bytes.
    """
    headers = {name.lower(): value for name, value in (headers or {}).items()}
    if json_body is not None:
        body = json.dumps(json_body)
        headers.setdefault("content-type", "application/json")
    body = body.encode() if isinstance(body, str) else body or b""
    for _ in range(redirects + 1):
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc or "@" in parts.netloc:
            raise ValueError(f"{url!r} is no http or https URL")
        answer = _exchange(url, method, headers, body, timeout, max_body)
        location = answer.headers.get("location")
        if answer.status not in (301, 302, 303, 307, 308) or location is None or redirects == 0:
            return answer
        url = urllib.parse.urljoin(url, location)
        if answer.status == 303 or (answer.status < 303 and method == "POST"):
            method, body = ("HEAD" if method == "HEAD" else "GET"), b""
            headers = {name: value for name, value in headers.items() if not name.startswith("content-")}
        if urllib.parse.urlsplit(url)[:2] != parts[:2]:
            headers = {name: value for name, value in headers.items() if name not in ("authorization", "cookie", "proxy-authorization")}
    raise RuntimeError(f"{url} redirects too often")


def _exchange(url, method, headers, body, timeout, max_body):
    if not _exported:
        double.requests.append((method, url, headers, body))
        if url not in double.pages:
            raise RuntimeError(f"{url} cannot be reached: put what is there into double.pages, as (status, headers, body)")
        status, answered, data = double.pages[url]
        return Response(status, {name.lower(): value for name, value in answered.items()}, data.encode() if isinstance(data, str) else data, url)
    sent = [(name, value.encode()) for name, value in ({"user-agent": "toolbay-plugin/0.1"} | headers).items()]
    try:
        answer = _fetch.fetch(_fetch.Request(method, url, sent, body, int(timeout * 1000), max_body, None))
    except Err as error:
        raise RuntimeError(f"{url} cannot be fetched: {error.value.value}") from None
    return Response(answer.status, {name: value.decode("latin-1") for name, value in answer.headers}, answer.body, url)


class _Tool:
    def __init__(self, function, name, title, description, hints):
        self.function, self.name, self.title, self.description, self.hints = function, name, title, description, hints
        known = typing.get_type_hints(function, include_extras=True)
        self.readers = []
        properties, required, written = {}, [], _Schemas()
        for parameter in inspect.signature(function).parameters.values():
            if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
                raise TypeError(f"the tool {name} takes {parameter}, which has no name that a caller can give: no /, *args and **kwargs")
            annotation = known.get(parameter.name, typing.Any)
            reader = _reader(annotation)
            if reader is not None:
                self.readers.append((parameter.name, *reader))
            try:
                schema = written.of(annotation, may_be_left_out=parameter.default is None)
            except TypeError as error:
                raise TypeError(f"the parameter {parameter.name} of the tool {name}: {error}") from None
            if parameter.default is parameter.empty:
                required.append(parameter.name)
            elif parameter.default is not None and _is_json(parameter.default):
                schema["default"] = _plain(parameter.default)
            properties[parameter.name] = schema
        self.input = written.with_defs({"type": "object", "properties": properties, "required": required, "additionalProperties": False})
        self.output = self.wraps = None
        returned = known.get("return")
        if returned not in (None, type(None), str, typing.Any) and not _mentions(returned, (Image, Audio)):
            written = _Schemas()
            try:
                schema = written.of(returned)
            except TypeError as error:
                raise TypeError(f"what the tool {name} answers: {error}") from None
            schema = written.defs.get(schema.get("$ref", "").removeprefix("#/$defs/"), schema)
            self.wraps = schema.get("type") != "object"
            self.output = written.with_defs({"type": "object", "properties": {"result": schema}, "required": ["result"]} if self.wraps else schema)

    def run(self, arguments):
        """Calls it with arguments of its own, as JSON has them."""
        for name, kind, reader in self.readers:
            if name in arguments and type(arguments[name]) is not kind:
                try:
                    arguments[name] = reader(arguments[name])
                except (ValueError, ArithmeticError) as error:
                    raise ValueError(f"the argument {name}: {error}") from None
        value = self.function(**arguments)
        return value if type(value) in _NEVER_AWAITED else _ended(value)


class _Resource:
    def __init__(self, function, uri, name, title, description, mime_type, complete):
        self.function, self.uri, self.title, self.mime_type, self.complete = function, uri, title, mime_type, complete
        self.name = name or function.__name__
        self.description = description or inspect.getdoc(function)
        pattern, names = "", []
        for part in re.split(r"(\{[^}]*\})", uri):
            variable = re.fullmatch(r"\{(\+?)([A-Za-z]\w*)\}", part)
            if variable is None and part.startswith("{"):
                raise ValueError(f"{part} of {uri} is no variable here: there are {{name}} and {{+name}}")
            if variable is None:
                pattern += re.escape(part)
            else:
                names.append(variable[2])
                pattern += "(.+)" if variable[1] else "([^/?#]+)"
        self.pattern, self.variables = re.compile(pattern, re.DOTALL), names
        taken = list(inspect.signature(function).parameters)
        if sorted(taken) != sorted(names):
            raise TypeError(f"the parameters of {function.__name__} must be the variables of {uri}: {names}, and are {taken}")
        self.types = typing.get_type_hints(function)

    def values(self, uri):
        found = self.pattern.fullmatch(uri)
        if found is None:
            return None
        values = {}
        for name, text in zip(self.variables, found.groups()):
            kind = self.types.get(name, str)
            try:
                decoded = urllib.parse.unquote(text, errors="strict")
                values[name] = kind(decoded) if kind in (int, float) else decoded
            except ValueError:
                return None
        return values

    def read(self, uri, values):
        answer = _ended(self.function(**values))
        if answer is None:
            return None
        pieces = answer if isinstance(answer, list) and all(isinstance(piece, Contents) for piece in answer) else [answer]
        pieces = [piece if isinstance(piece, Contents) else Contents(piece) for piece in pieces]
        for piece in pieces:
            piece.uri = piece.uri or uri
            if not isinstance(piece.body, (str, bytes)):
                piece.body = json.dumps(_plain(piece.body), ensure_ascii=False)
                piece.mime_type = piece.mime_type or self.mime_type or "application/json"
            piece.mime_type = piece.mime_type or self.mime_type
        return pieces


class _Prompt:
    def __init__(self, function, name, title, description, complete):
        self.function, self.name, self.title, self.complete = function, name, title, complete
        self.description = description or inspect.getdoc(function)
        known = typing.get_type_hints(function, include_extras=True)
        self.arguments = []
        for parameter in inspect.signature(function).parameters.values():
            if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
                raise TypeError(f"the prompt {name} takes *args or **kwargs, which cannot be described")
            notes = typing.get_args(known.get(parameter.name, str))[1:]
            text = next((note for note in notes if isinstance(note, str)), None)
            self.arguments.append((parameter.name, text, parameter.default is parameter.empty))

    def get(self, arguments):
        answer = _ended(self.function(**arguments))
        messages = answer if isinstance(answer, list) else [answer]
        return [message if isinstance(message, Message) else Message(message) for message in messages]


def _fitting(values, typed):
    values = _ended(values(typed)) if callable(values) else values or []
    return [str(value) for value in values if str(value).lower().startswith(typed.lower())]


def _import_loop(function):
    """What an async function needs has to be imported while the plugin is built."""
    if inspect.iscoroutinefunction(function):
        import asyncio  # noqa: F401


def _ended(value):
    """What an async function comes to; any other value as it is. Sleeping and waiting for several things work; there are no sockets and threads."""
    if not hasattr(type(value), "__await__"):
        return value
    import asyncio

    class Loop(asyncio.BaseEventLoop):
        """The loop of asyncio, for which nothing comes from outside: it only sleeps."""

        def __init__(self):
            super().__init__()
            self._selector = self

        def select(self, seconds):
            if seconds is None:
                raise RuntimeError("it awaits something that never comes: nothing is left that could settle it")
            time.sleep(seconds)
            return []

        def _process_events(self, events):
            pass

        def _write_to_self(self):
            pass

    async def whole():
        return await value

    loop = Loop()
    try:
        return loop.run_until_complete(whole())
    finally:
        # What the call has not waited for is not for the next one, where the instance serves several.
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        try:
            if left:
                loop.run_until_complete(asyncio.wait(left, timeout=1))
            loop.run_until_complete(loop.shutdown_asyncgens())
        except RuntimeError:
            pass
        loop.close()


def _schema_of(form):
    written = _Schemas()
    return written.with_defs(written.of(form))


def _mentions(annotation, kinds):
    return annotation in kinds or any(_mentions(part, kinds) for part in typing.get_args(annotation) if not isinstance(part, (str, dict)))


def _is_json(value):
    """Whether JSON has such a value."""
    try:
        return json.dumps(_plain(value), allow_nan=False) is not None
    except (TypeError, ValueError):
        return False


_LISTS = (list, set, frozenset, collections.abc.Sequence, collections.abc.Iterable, collections.abc.Collection, collections.abc.Set)
_LISTS += (collections.abc.MutableSequence, collections.abc.MutableSet)
_OBJECTS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)
# Types that are texts in JSON: what the schema says of them, and how they are read and written.
_TEXTS = {
    bytes: ({"contentEncoding": "base64"}, lambda text: base64.b64decode(text, validate=True), lambda value: base64.b64encode(value).decode()),
    datetime.datetime: ({"format": "date-time"}, lambda text: datetime.datetime.fromisoformat(re.sub("[Zz]$", "+00:00", text)), datetime.datetime.isoformat),
    datetime.date: ({"format": "date"}, datetime.date.fromisoformat, datetime.date.isoformat),
    datetime.time: ({"format": "time"}, datetime.time.fromisoformat, datetime.time.isoformat),
    uuid.UUID: ({"format": "uuid"}, uuid.UUID, str),
    decimal.Decimal: ({}, decimal.Decimal, str),
    pathlib.PurePath: ({}, None, str),
}
_PLAIN = ((bool, "boolean"), (int, "integer"), (float, "number"), (str, "string"))


def _text_kind(kind):
    return next((known for known in _TEXTS if issubclass(kind, known)), None)


def _named(annotation):
    """What stands behind a name for a type, and behind marks that say nothing of values."""
    while True:
        if isinstance(annotation, typing.NewType):
            annotation = annotation.__supertype__
        elif typing.get_origin(annotation) in _MARKS:
            annotation = typing.get_args(annotation)[0]
        elif isinstance(annotation, typing.TypeVar):
            annotation = annotation.__bound__ or typing.Any
        else:
            return annotation


def _type(annotation):
    """The type of values alone: what stands behind names for it, without notes."""
    annotation = _named(annotation)
    if typing.get_origin(annotation) is typing.Annotated:
        return _type(typing.get_args(annotation)[0])
    return _type(annotation.__value__) if _ALIAS and isinstance(annotation, _ALIAS) else annotation


_MARKS = tuple(getattr(typing, name) for name in ("Required", "NotRequired", "ReadOnly", "Final") if hasattr(typing, name))
_ALIAS = getattr(typing, "TypeAliasType", ())


def _members(kind):
    """The members of a type whose values are objects: for each its type, and whether it has to be there. None: it is no such type."""
    if dataclasses.is_dataclass(kind):
        known = typing.get_type_hints(kind, include_extras=True)
        missing = dataclasses.MISSING
        return {
            field.name: (known[field.name], field.default is missing and field.default_factory is missing)
            for field in dataclasses.fields(kind)
            if field.init
        }
    if typing.is_typeddict(kind):
        known = typing.get_type_hints(kind, include_extras=True)
        return {name: (annotation, name in kind.__required_keys__) for name, annotation in known.items()}
    if issubclass(kind, tuple) and hasattr(kind, "_fields"):
        known = typing.get_type_hints(kind, include_extras=True)
        return {name: (known.get(name, typing.Any), name not in kind._field_defaults) for name in kind._fields}
    return None


class _Schemas:
    """JSON Schemas of annotations. A type that is part of itself stands in `$defs`."""

    def __init__(self):
        self.open, self.names, self.defs = [], {}, {}

    def with_defs(self, schema):
        return schema | {"$defs": self.defs} if self.defs else schema

    def of(self, annotation, may_be_left_out=False):
        annotation = _named(annotation)
        if typing.get_origin(annotation) is typing.Annotated:
            inner, *notes = typing.get_args(annotation)
            schema = dict(self.of(inner, may_be_left_out))
            for note in notes:
                if isinstance(note, str):
                    schema["description"] = note
                elif isinstance(note, dict):
                    schema.update(note)
            return schema
        if _ALIAS and isinstance(annotation, _ALIAS):
            return self.once(annotation, lambda: self.of(annotation.__value__))
        origin, args = typing.get_origin(annotation) or annotation, typing.get_args(annotation)
        if annotation in (typing.Any, object, inspect.Parameter.empty):
            return {}
        if origin is typing.Literal:
            values = [value.value if isinstance(value, enum.Enum) else value for value in args]
            kinds = {type(value) for value in values}
            named = {"type": self.of(kinds.pop())["type"]} if len(kinds) == 1 else {}
            return named | {"enum": values}
        if origin in (typing.Union, types.UnionType):
            parts = [self.of(part) for part in args if part is not type(None)]
            # An argument that may be left out need not be null too.
            if type(None) in args and not may_be_left_out:
                if len(parts) == 1 and isinstance(parts[0].get("type"), str) and "enum" not in parts[0]:
                    return parts[0] | {"type": [parts[0]["type"], "null"]}
                parts.append({"type": "null"})
            return parts[0] if len(parts) == 1 else {"anyOf": parts}
        if origin in _LISTS:
            return {"type": "array", "items": self.of(args[0]) if args else {}}
        if origin is tuple:
            if len(args) == 2 and args[1] is ...:
                return {"type": "array", "items": self.of(args[0])}
            if not args:
                return {"type": "array", "items": {}}
            return {"type": "array", "prefixItems": [self.of(part) for part in args], "minItems": len(args), "maxItems": len(args)}
        if origin in _OBJECTS:
            return {"type": "object", "additionalProperties": self.of(args[1])} if args else {"type": "object"}
        if annotation is None or annotation is type(None):
            return {"type": "null"}
        if isinstance(annotation, type):
            if issubclass(annotation, enum.Enum):
                return {"enum": [_plain(member) for member in annotation]}
            if _text_kind(annotation):
                return {"type": "string"} | _TEXTS[_text_kind(annotation)][0]
            members = _members(annotation)
            if members is not None:
                return self.once(annotation, lambda: self.object(members))
            for kind, named in _PLAIN:
                if issubclass(annotation, kind):
                    return {"type": named}
        raise TypeError(
            f"{annotation!r} has no JSON Schema here; use str, int, float, bool, bytes, list, tuple, dict, Literal, an Enum, a dataclass, a TypedDict, "
            "a NamedTuple, or a type of datetime"
        )

    def object(self, members):
        properties = {name: self.of(annotation) for name, (annotation, _) in members.items()}
        return {"type": "object", "properties": properties, "required": [name for name, (_, is_required) in members.items() if is_required]}

    def once(self, kind, write):
        """The schema of a type, or a reference where it is part of itself."""
        if kind in self.open:
            name = self.names.setdefault(kind, kind.__name__ if kind.__name__ not in self.names.values() else f"{kind.__name__}{len(self.names)}")
            return {"$ref": f"#/$defs/{name}"}
        if kind in self.names:
            return {"$ref": f"#/$defs/{self.names[kind]}"}
        self.open.append(kind)
        schema = write()
        self.open.pop()
        if kind not in self.names:
            return schema
        self.defs[self.names[kind]] = schema
        return {"$ref": f"#/$defs/{self.names[kind]}"}


def _read(annotation, value):
    """JSON as what the annotation says: dataclasses, enums, bytes and dates are made of it."""
    annotation = _type(annotation)
    origin, args = typing.get_origin(annotation) or annotation, typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        return next((_read(part, value) for part in args if _fits(part, value)), value)
    if origin is typing.Literal:
        return next((member for member in args if isinstance(member, enum.Enum) and member.value == value), value)
    if origin in _LISTS and isinstance(value, list):
        read = [_read(args[0], item) for item in value] if args else value
        return origin(read) if origin in (set, frozenset) else set(read) if issubclass(origin, collections.abc.Set) else read
    if origin is tuple and isinstance(value, list):
        each = args[:1] * len(value) if len(args) == 2 and args[1] is ... else args or (typing.Any,) * len(value)
        return tuple(_read(part, item) for part, item in zip(each, value))
    if origin in _OBJECTS and isinstance(value, dict):
        return {_key(args[0], key): _read(args[1], item) for key, item in value.items()} if args else value
    if not isinstance(annotation, type):
        return value
    if issubclass(annotation, enum.Enum):
        return next((member for member in annotation if _plain(member) == value), None) or annotation(value)
    if _text_kind(annotation) and isinstance(value, str):
        return (_TEXTS[_text_kind(annotation)][1] or annotation)(value)
    members = _members(annotation)
    if members is not None and isinstance(value, dict):
        read = {key: _read(members[key][0], item) if key in members else item for key, item in value.items()}
        return read if typing.is_typeddict(annotation) else annotation(**read)
    # 3.0 is an integer to JSON Schema, and 3 a number.
    if annotation is int and isinstance(value, float) and value.is_integer():
        return int(value)
    return float(value) if annotation is float and type(value) is int else value


_AS_IT_IS = frozenset({type(None), str, int, bool})
# What a function answers most often, which is nothing that is awaited.
_NEVER_AWAITED = frozenset({type(None), str, int, float, bool, list, dict})


def _reader(annotation):
    """How an argument is read: the type of what is taken as it is, if any, and the function for the rest. None: whatever it is, it is taken so.

    Looking at an annotation takes longer than the rest of a call.
    """
    kind = _type(annotation)
    # Not by its hash: what has notes of Annotated inside may have none.
    if any(kind is known for known in (str, bool, dict, typing.Any, object)):
        return None
    return kind if kind is int or kind is float else None, functools.partial(_read, annotation)


def _key(annotation, key):
    """The key of an object, which is a text in JSON, as the annotation says."""
    annotation = _named(annotation)
    if annotation in (int, float):
        return annotation(key)
    return _read(annotation, key)


def _fits(annotation, value):
    """Whether a value of JSON is meant to be of this part of a union."""
    annotation = _type(annotation)
    origin, args = typing.get_origin(annotation) or annotation, typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        return any(_fits(part, value) for part in args)
    if origin is typing.Literal:
        return any((member.value if isinstance(member, enum.Enum) else member) == value for member in args)
    if annotation in (typing.Any, object):
        return True
    if annotation is None or annotation is type(None):
        return value is None
    if origin in _LISTS:
        return isinstance(value, list) and (not args or all(_fits(args[0], item) for item in value))
    if origin is tuple:
        return isinstance(value, list) and (not args or args[-1] is ... or len(args) == len(value))
    if origin in _OBJECTS:
        return isinstance(value, dict)
    if not isinstance(annotation, type):
        return False
    if issubclass(annotation, enum.Enum):
        return any(_plain(member) == value for member in annotation)
    if _text_kind(annotation):
        try:
            return isinstance(value, str) and _read(annotation, value) is not None
        except (ValueError, ArithmeticError):
            return False
    members = _members(annotation)
    if members is not None:
        needed = all(name in value for name, (_, is_required) in members.items() if is_required) if isinstance(value, dict) else False
        return needed and all(name in members and _fits(members[name][0], item) for name, item in value.items())
    if isinstance(value, bool) or annotation is bool:
        return annotation is bool and isinstance(value, bool)
    if issubclass(annotation, float):
        return isinstance(value, (int, float))
    if issubclass(annotation, int):
        return isinstance(value, int) or isinstance(value, float) and value.is_integer()
    return isinstance(value, annotation)


def _plain(value):
    """What json can write."""
    kind = type(value)
    if kind in _AS_IT_IS or kind is float and math.isfinite(value):
        return value
    if kind is list:
        return [item if type(item) in _AS_IT_IS else _plain(item) for item in value]
    if kind is dict:
        return {key if type(key) is str else _plain(key): item if type(item) in _AS_IT_IS else _plain(item) for key, item in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, enum.Enum):
        return _plain(value.value)
    if isinstance(value, (bytearray, memoryview)):
        value = bytes(value)
    if _text_kind(type(value)):
        return _TEXTS[_text_kind(type(value))][2](value)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return {name: _plain(item) for name, item in zip(value._fields, value)}
    if isinstance(value, collections.abc.Mapping):
        return {_plain(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value} is no number in JSON")
    return value


_encode = json.JSONEncoder(ensure_ascii=False).encode
# What `raw_decode` calls: arguments are an object by the time that they come here.
_decode = json.JSONDecoder().scan_once


def _written(value):
    """The JSON of what `_plain` made. An encoder takes longer for one number than a tool for adding two."""
    kind = type(value)
    return repr(value) if kind is float or kind is int else json.encoder.encode_basestring(value) if kind is str else _encode(value)


# So many causes of an exception are told.
_MOST_CAUSES = 4


def _told(error, depth=0):
    """An exception with what caused it, as the caller reads it."""
    try:
        text = str(error)
    except Exception:
        text = "(its text cannot be made)"
    told = f"{type(error).__name__}: {text}" if text else type(error).__name__
    # An exception group.
    parts = getattr(error, "exceptions", None)
    if isinstance(parts, tuple) and depth < _MOST_CAUSES:
        told += ": " + "; ".join(_told(part, depth + 1) for part in parts[:_MOST_CAUSES])
    cause = error.__cause__
    return f"{told}; caused by {_told(cause, depth + 1)}" if cause is not None and depth < _MOST_CAUSES else told


if _exported:

    class Tools:
        """The interface `tools` of the contract, as the host calls it."""

        def list_tools(self):
            return [_published(tool) for tool in _tools.values()]

        def call_tool(self, name, arguments):
            tool = _tools.get(name)
            if tool is None:
                raise Err(_types.Error(INVALID_PARAMS, f"there is no tool {name}", None))
            try:
                return _answer(tool, tool.run(_decode(arguments, arguments.index("{"))[0]))
            except Err:
                raise
            except BaseException as error:
                for line in traceback.format_exc().splitlines():
                    _log.message(_types.LogLevel.DEBUG, line)
                return _result([_text(_why(error))], is_error=True)

    def _why(error):
        """An exception as the caller reads it, with what helps."""
        why = _told(error)
        frames = "".join(traceback.format_tb(error.__traceback__))
        if isinstance(error, SystemExit):
            return f"the tool ended itself by exit({error.code!r})"
        if isinstance(error, ModuleNotFoundError):
            return why + "; only what was imported when the plugin was built is there: import it at the top of the module"
        if isinstance(error, PermissionError) and "/asyncio/" in frames:
            return why + "; the event loop of asyncio needs sockets, which plugins do not have: make the tool itself `async def`, and await in it"
        if isinstance(error, OSError) and "/socket.py" in frames:
            return why + "; plugins have no sockets: `fetch` of toolbay_plugin is HTTP"
        return why

    def _attempt(code, function):
        try:
            return function()
        except Err:
            raise
        except BaseException as error:
            for line in traceback.format_exc().splitlines():
                _log.message(_types.LogLevel.DEBUG, line)
            raise Err(_types.Error(code, _why(error), None)) from None

    if _exported_resources is not None:

        class Resources:
            """The interface `resources` of the contract, as the host calls it."""

            def list_resources(self):
                known = [each for each in _resources.values() if not each.variables]
                return [
                    _exported_resources.Resource(each.uri, each.name, each.title, each.description, each.mime_type, None, [], None, None, None)
                    for each in known
                ]

            def list_templates(self):
                known = [each for each in _resources.values() if each.variables]
                return [
                    _exported_resources.Template(each.uri, each.name, each.title, each.description, each.mime_type, [], None, None, None)
                    for each in known
                ]

            def read_resource(self, uri):
                pieces = _attempt(INTERNAL_ERROR, lambda: read(uri))
                return None if pieces is None else [self._piece(piece) for piece in pieces]

            def _piece(self, piece):
                body = _types.ResourceBody_Text(piece.body) if isinstance(piece.body, str) else _types.ResourceBody_Blob(piece.body)
                return _exported_resources.Contents(piece.uri, piece.mime_type, body, None)

    if _exported_prompts is not None:

        class Prompts:
            """The interface `prompts` of the contract, as the host calls it."""

            def list_prompts(self):
                return [
                    _exported_prompts.Prompt(
                        each.name,
                        each.title,
                        each.description,
                        [_exported_prompts.Argument(name, None, text, required) for name, text, required in each.arguments],
                        [],
                        None,
                        None,
                    )
                    for each in _prompts.values()
                ]

            def get_prompt(self, name, arguments):
                if name not in _prompts:
                    raise Err(_types.Error(INVALID_PARAMS, f"there is no prompt {name}", None))
                messages = _attempt(INVALID_PARAMS, lambda: fill(name, dict(arguments)))
                said = [_exported_prompts.Message(_types.Role[each.role.upper()], _block(each.content)) for each in messages]
                return _exported_prompts.PromptResult(_prompts[name].description, said, None)

    if _exported_completion is not None:

        class Completion:
            """The interface `completion` of the contract, as the host calls it."""

            def complete(self, what, argument, value, others):
                known = (_prompts if type(what).__name__ == "Reference_Prompt" else _resources).get(what.value)
                values = _attempt(INVALID_PARAMS, lambda: _fitting(known and known.complete.get(argument), value))
                return _exported_completion.Completions(values[:100], len(values), len(values) > 100)

    def _published(tool):
        hints = _exported.ToolAnnotations(None, *tool.hints) if any(hint is not None for hint in tool.hints) else None
        output = None if tool.output is None else json.dumps(tool.output)
        return _exported.Tool(tool.name, tool.title, tool.description, json.dumps(tool.input), output, hints, [], None, None)

    class _Record(dict):
        """A record of the contract: attributes that are items.

        What reads it asks with a name that is made anew for each field. Looking that up in a class is slow, and leaves the name in the cache of
        its attributes, so that a kept instance writes to new memory with every call.
        """

        __getattribute__ = dict.__getitem__

    _TextBlock = _types.Content_Text

    def _text(text):
        return _TextBlock(_Record(text=text, annotations=None, meta=None))

    def _result(content, structured=None, is_error=False):
        return _Record(content=content, structured_content=structured, is_error=is_error, meta=None)

    def _block(value):
        if isinstance(value, Image):
            return _types.Content_Image(_binary(value))
        if isinstance(value, Audio):
            return _types.Content_Audio(_binary(value))
        return _text(str(value))

    def _binary(value):
        return _Record(data=bytes(value.data), mime_type=value.mime_type, annotations=None, meta=None)

    def _answer(tool, value):
        kind = type(value)
        if kind is str and tool.output is None:
            return _result([_text(value)])
        if kind is int or kind is bool or kind is float and math.isfinite(value):
            text = repr(value) if kind is not bool else "true" if value else "false"
            return _result([_text(text)], f'{{"result": {text}}}')
        if value is None and tool.output is None:
            return _result([])
        if tool.output is None and (isinstance(value, (str, Image, Audio)) or _is_blocks(value)):
            blocks = value if _is_blocks(value) else [value]
            return _result([_block(item) for item in blocks])
        plain = _plain(value)
        text = _written(plain)
        structured = f'{{"result": {text}}}' if tool.wraps or not isinstance(plain, dict) else text
        return _result([_text(text)], structured)

    def _is_blocks(value):
        return isinstance(value, (list, tuple)) and any(isinstance(item, (Image, Audio)) for item in value)
