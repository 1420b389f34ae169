//! Python as its authors write it: annotations of every type, async tools, whatever can be raised, and instances that serve several calls.

use toolbay_tests::{Client, Value, json};

use crate::author::Author;

const TYPES: &str = r#"import asyncio, dataclasses, datetime, decimal, enum, pathlib, typing, uuid
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, NamedTuple, NotRequired, TypedDict
from toolbay_plugin import Image, tool


class Color(enum.Enum):
    RED = "red"
    DARK = 2


@dataclasses.dataclass
class Tree:
    color: Color
    kids: list["Tree"]


class Place(NamedTuple):
    x: int
    y: int = 0


class Note(TypedDict):
    text: str
    at: NotRequired[datetime.date]


@dataclasses.dataclass
class Cat:
    kind: Literal["cat"]
    name: str


@dataclasses.dataclass
class Dog:
    kind: Literal["dog"]
    data: bytes


type Json = dict[str, Json] | list[Json] | str | int | None


def echo(name, annotation):
    def echo(value):
        return value

    echo.__annotations__ = {"value": annotation, "return": annotation}
    tool(name=name, description=f"Echoes {name}.")(echo)


for name, annotation in {
    "tree": Tree,
    "place": Place,
    "note": Note,
    "pet": Cat | Dog,
    "pets": dict[str, list[Cat | Dog]],
    "bytes": bytes,
    "when": datetime.datetime,
    "id": uuid.UUID,
    "money": decimal.Decimal,
    "many": tuple[int, ...],
    "pair": tuple[str, bool],
    "maybe": int | None,
    "maybes": list[str | None],
    "numbered": Mapping[int, str],
    "json": Json,
    "number": int,
    "half": float,
    "several": Sequence[Color],
    "bounded": list[Annotated[int, {"minimum": 1}]],
}.items():
    echo(name, annotation)


@tool
def kinds(a: bytes, b: datetime.date, c: pathlib.Path, d: Cat | Dog, e: frozenset[int]) -> str:
    "What a tool gets."
    return f"{type(a).__name__} {type(b).__name__} {c.name} {type(d).__name__} {type(e).__name__}"


@tool
def unicode(größe: Annotated[int, "Wie groß, in \"ß\"?"] = 3) -> str:
    ""
    return "ß🦀" * größe


@tool
def pictures(number: int) -> list[str | Image]:
    "Texts and pictures."
    return ["one", *[Image(b"x")] * number]


@tool
async def waits(number: int) -> int:
    "Waits for several at once."

    async def one(at):
        await asyncio.sleep(0.01 * (number - at))
        return at

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(at)) for at in range(number)]
    return sum(task.result() for task in tasks) + sum(await asyncio.gather(*map(one, range(number))))
"#;

#[tokio::test]
async fn annotations_of_every_type_are_schemas_and_values_of_them_come_back() {
    let (author, said) = Author::builds("typed", "python", TYPES).await;
    assert!(said.contains("warning: the tool unicode has no description"), "{said}");
    let server = author.serves().start().await;
    let client = Client::modern(&server);
    let result = |value: Value| json!({ "result": value });
    let leaf = json!({ "color": "red", "kids": [] });
    let tree = json!({ "color": 2, "kids": [leaf, leaf] });
    let (cat, dog) = (json!({ "kind": "cat", "name": "Tom" }), json!({ "kind": "dog", "data": "AAEC" }));
    for (tool, values, wraps) in [
        ("tree", vec![tree], false),
        ("place", vec![json!({ "x": 1, "y": 2 })], false),
        ("note", vec![json!({ "text": "a" }), json!({ "text": "ü", "at": "2026-02-28" })], false),
        ("pet", vec![cat.clone(), dog.clone()], true),
        ("pets", vec![json!({ "a": [cat, dog], "b": [] })], false),
        ("bytes", vec![json!(""), json!("AAECAwT/")], true),
        ("when", vec![json!("2026-02-28T12:30:00+01:00")], true),
        ("id", vec![json!("0e4f8a52-3f1c-4c4e-9d53-5f0f3c8d0a11")], true),
        ("money", vec![json!("1.10"), json!("123456789012345678901234567890.5")], true),
        ("many", vec![json!([]), json!([1, 2, 3])], true),
        ("pair", vec![json!(["a", true])], true),
        ("maybe", vec![json!(null), json!(7)], true),
        ("maybes", vec![json!([null, "a"])], true),
        ("numbered", vec![json!({ "1": "a" })], false),
        ("json", vec![json!({ "a": [1, null, { "b": "c" }] }), json!(null)], true),
        ("number", vec![json!(9_007_199_254_740_993_u64), json!(-1)], true),
        ("half", vec![json!(0.5)], true),
        ("several", vec![json!(["red", 2])], true),
        ("bounded", vec![json!([1, 2])], true),
    ] {
        for value in values {
            let reply = client.call(tool, json!({ "value": value })).await;
            let wanted = if wraps { result(value) } else { value };
            assert_eq!(reply.result()["structuredContent"], wanted, "{tool}: {reply:?}");
        }
    }
    for (tool, value, wanted) in [
        ("tree", json!({ "color": "blue", "kids": [] }), "blue"),
        ("bytes", json!("not base64!"), "base64"),
        ("when", json!("yesterday"), "yesterday"),
        ("id", json!("1"), "the argument value: badly formed"),
        ("pair", json!(["a"]), "value"),
        ("number", json!(1.5), "integer"),
        ("half", json!("x"), "number"),
    ] {
        let failure = client.call(tool, json!({ "value": value })).await.failure();
        assert!(failure.to_lowercase().contains(wanted), "{tool}: {failure}");
    }
    let kinds = json!({ "a": "AA==", "b": "2026-01-02", "c": "/x/y.txt", "d": { "kind": "dog", "data": "" }, "e": [1] });
    assert_eq!(client.call("kinds", kinds).await.ok(), "bytes date y.txt Dog frozenset");
    assert_eq!(client.call("unicode", json!({ "größe": 2 })).await.ok(), "ß🦀ß🦀");
    assert_eq!(client.call("unicode", json!({})).await.ok(), "ß🦀ß🦀ß🦀");
    assert_eq!(client.call("waits", json!({ "number": 4 })).await.ok(), "12");
    let pictures = client.call("pictures", json!({ "number": 2 })).await;
    assert_eq!(pictures.result()["content"][2]["type"], "image", "{pictures:?}");
}

const RAISES: &str = r#"import asyncio, os, sys
from toolbay_plugin import log, tool


class Odd(Exception):
    def __str__(self):
        raise ValueError("no text")


def chained():
    try:
        {}["inner"]
    except KeyError as error:
        raise ValueError("outer") from error


def deep(n):
    return deep(n + 1) + 1


def hoard():
    held = []
    while True:
        held.append(bytearray(1 << 20))


def raised(error):
    raise error


kinds = {
    "cause": chained,
    "group": lambda: raised(ExceptionGroup("several", [ValueError("a"), KeyError("b")])),
    "bare": lambda: raised(TimeoutError()),
    "interrupt": lambda: raised(KeyboardInterrupt("stop")),
    "cancelled": lambda: raised(asyncio.CancelledError("left")),
    "generator": lambda: raised(GeneratorExit()),
    "odd": lambda: raised(Odd()),
    "exit": lambda: sys.exit("enough"),
    "deep": lambda: deep(0),
    "memory": hoard,
    "assertion": lambda: raised(AssertionError("ß")),
    "infinite": lambda: float("inf"),
    "object": object,
    "at_once": lambda: os._exit(3),
    "abort": os.abort,
}


@tool
def fails(kind: str):
    "Fails."
    return kinds[kind]()


@tool
async def fails_late(kind: str):
    "Fails after a while."
    await asyncio.sleep(0.01)
    if kind == "never":
        await asyncio.get_running_loop().create_future()
    if kind == "timeout":
        async with asyncio.timeout(0.01):
            await asyncio.sleep(60)
    return kinds[kind]()


async def later():
    await asyncio.sleep(0.05)
    log("it came later")


served = 0


@tool
async def leaves(what: str) -> int:
    "Leaves a task behind."
    global served
    served += 1
    if what == "task":
        asyncio.ensure_future(later())
    await asyncio.sleep(0.2 if what == "wait" else 0)
    return served
"#;

#[tokio::test]
async fn whatever_a_tool_raises_is_told_and_what_it_leaves_behind_does_not_reach_the_next_call() {
    let (author, _) = Author::builds("raises", "python", RAISES).await;
    let config = "[plugin.raises]\nreuse = 1000\nreuse_across = \"all\"\nmemory = \"128MiB\"\ntimeout = \"20s\"\n";
    let server = author.serves().config(config).start().await;
    let client = Client::modern(&server);
    for (tool, kind, wanted) in [
        ("fails", "cause", "ValueError: outer; caused by KeyError: 'inner'"),
        ("fails", "group", "ExceptionGroup: several (2 sub-exceptions): ValueError: a; KeyError: 'b'"),
        ("fails", "bare", "TimeoutError"),
        ("fails", "interrupt", "KeyboardInterrupt: stop"),
        ("fails", "cancelled", "CancelledError: left"),
        ("fails", "generator", "GeneratorExit"),
        ("fails", "odd", "Odd: (its text cannot be made)"),
        ("fails", "exit", "the tool ended itself by exit('enough')"),
        ("fails", "deep", "RecursionError"),
        ("fails", "memory", "MemoryError"),
        ("fails", "assertion", "AssertionError: ß"),
        ("fails", "infinite", "ValueError: inf is no number in JSON"),
        ("fails", "object", "TypeError: Object of type object is not JSON serializable"),
        ("fails", "at_once", "raises"),
        ("fails", "abort", "raises"),
        ("fails_late", "cause", "ValueError: outer; caused by KeyError: 'inner'"),
        ("fails_late", "never", "it awaits something that never comes"),
        ("fails_late", "timeout", "TimeoutError"),
        ("fails_late", "cancelled", "CancelledError: left"),
    ] {
        let failure = client.call(tool, json!({ "kind": kind })).await.failure();
        assert!(failure.contains(wanted) && !failure.contains("dirs ="), "{tool} {kind}: {failure}");
    }
    // In one instance: a task that the first call has left would come while the second one waits.
    let counts = async |what: &str| client.call("leaves", json!({ "what": what })).await.ok();
    let first = counts("task").await;
    assert_eq!(counts("wait").await, (first.parse::<u32>().expect("a number") + 1).to_string());
    assert!(!server.log().contains("it came later"), "{}", server.log());
}

/// A package of the project's environment, and one of its own that alone uses the host.
#[tokio::test]
async fn packages_of_the_project_are_built_in() {
    let author = Author::named("packed", "python", None).await;
    let file = |name: &str, text: &str| {
        let path = author.folder().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, text).expect("it can be written");
    };
    file(".venv/pyvenv.cfg", "home = /usr/bin\n");
    file(".venv/lib/python3.11/site-packages/shout/__init__.py", "def shout(text):\n    return text.upper() + '!'\n");
    file("pages/__init__.py", "");
    file("pages/keeping.py", "from toolbay_plugin import store\n\n\ndef count():\n    return store.increment('n')\n");
    author.edit(
        "app.py",
        "from toolbay_plugin import tool",
        "from pages.keeping import count\nfrom shout import shout\nfrom toolbay_plugin import tool",
    );
    author.edit("app.py", "return f\"Hello, {name}!\"", "return shout(f\"{name} {count()}\")");
    let (is_well, said) = author.run(&["build", "packed"]).await;
    assert!(is_well, "{said}");
    let grants = "[plugin.packed]\nstore = true\n[store]\npath = \":memory:\"\n";
    let server = author.serves().config(grants).start().await;
    assert_eq!(Client::modern(&server).call("greet", json!({ "name": "ann" })).await.ok(), "ANN 1!");
}

const PLACES: &str = r#"from toolbay_plugin import tool


@tool
def places() -> list[int]:
    "Where new values of small sizes are."
    return [id(bytes(size)) for size in range(2, 64, 4)]
"#;

/// Memory that is written to has to be copied for each instance, and each call would find its values at new places.
#[tokio::test]
async fn a_kept_instance_uses_the_same_memory_for_each_call() {
    let (author, _) = Author::builds("places", "python", PLACES).await;
    let server = author.serves().config("[plugin.places]\nreuse = 1000\nreuse_across = \"all\"\n").start().await;
    let client = Client::modern(&server);
    let mut places = std::collections::BTreeSet::new();
    for _ in 0..100 {
        let reply = client.call("places", json!({})).await;
        let answered = reply.result()["structuredContent"]["result"].as_array().expect("a list").clone();
        places.extend(answered.iter().filter_map(Value::as_u64));
    }
    // Those of 16 sizes, of which some may come where others were.
    assert!((2..60).contains(&places.len()), "{} places", places.len());
}
