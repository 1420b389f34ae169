//! Resources, prompts and completion: guests of a few lines of WebAssembly text behind the real interfaces, whose answers are laid out by hand.

use std::path::Path;

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use super::*;
use crate::provider::{Completion, Reference};

/// Where a guest's data begins.
const BASE: usize = 1024;

/// An address where all is zero. As an answer: `ok` with an empty list, or with no resource.
const ZERO: u32 = 0;

/// A guest's memory at its start, as the canonical ABI lays values out.
#[derive(Default)]
struct Memory(Vec<u8>);

impl Memory {
    fn bytes(&mut self, bytes: &[u8]) -> u32 {
        self.0.resize(self.0.len().next_multiple_of(8), 0);
        let address = BASE + self.0.len();
        self.0.extend_from_slice(bytes);
        u32::try_from(address).unwrap()
    }

    fn words(&mut self, words: &[u32]) -> u32 {
        self.bytes(&words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<_>>())
    }

    fn text(&mut self, text: &str) -> [u32; 2] {
        [self.bytes(text.as_bytes()), u32::try_from(text.len()).unwrap()]
    }

    /// `ok` with a list of records of the same number of words.
    fn listed(&mut self, records: &[Vec<u32>]) -> u32 {
        let list = self.words(&records.concat());
        self.words(&[0, list, u32::try_from(records.len()).unwrap()])
    }

    /// A prompt with one argument, required.
    fn prompt(&mut self, name: &str, argument: &str) -> Vec<u32> {
        let argument = [&self.text(argument)[..], &[0; 6], &[1]].concat();
        let argument = self.words(&argument);
        [&self.text(name)[..], &[0; 6], &[argument, 1], &[0; 8]].concat()
    }

    fn resource(&mut self, uri: &str) -> Vec<u32> {
        [&self.text(uri)[..], &self.text("n"), &[0; 34]].concat()
    }

    fn template(&mut self, template: &str) -> Vec<u32> {
        [&self.text(template)[..], &self.text("n"), &[0; 30]].concat()
    }
}

/// What a guest answers: each is code whose value is the address of the answer.
struct Guest {
    interfaces: &'static [&'static str],
    memory: Memory,
    resources: String,
    templates: String,
    read: String,
    prompts: String,
    get: String,
    complete: String,
}

const SPIN: &str = "(loop $l (br $l)) unreachable";

fn at(address: u32) -> String {
    format!("i32.const {address}")
}

impl Guest {
    fn new(interfaces: &'static [&'static str]) -> Self {
        let nothing = || at(ZERO);
        Self {
            interfaces,
            memory: Memory::default(),
            resources: nothing(),
            templates: nothing(),
            read: nothing(),
            prompts: nothing(),
            get: nothing(),
            complete: nothing(),
        }
    }

    /// With the prompt `greet`, which needs `who`.
    fn greeting(get: &str) -> Self {
        let mut guest = Self::new(&["prompts"]);
        let prompt = guest.memory.prompt("greet", "who");
        guest.prompts = at(guest.memory.listed(&[prompt]));
        guest.get = get.to_owned();
        guest
    }

    /// With the resource `note:1`.
    fn reading(read: &str) -> Self {
        let mut guest = Self::new(&["resources"]);
        let resource = guest.memory.resource("note:1");
        guest.resources = at(guest.memory.listed(&[resource]));
        guest.read = read.to_owned();
        guest
    }

    fn component(&self) -> Vec<u8> {
        let mut resolve = Resolve::default();
        resolve.push_path(Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit")).unwrap();
        let exports: String = self.interfaces.iter().map(|interface| format!("export toolbay:plugin/{interface}@0.1.0;")).collect();
        let package = resolve.push_str("some.wit", &format!("package test:some@1.0.0; world some {{ {exports} }}")).unwrap();
        let world = resolve.select_world(&[package], None).unwrap();
        let function = |interface: &str, name: &str, parameters: usize, body: &str| {
            let parameters = "i32 ".repeat(parameters);
            let exported = self.interfaces.contains(&interface);
            let export = format!(r#"(func (export "toolbay:plugin/{interface}@0.1.0#{name}") (param {parameters}) (result i32) {body})"#);
            if exported { export } else { String::new() }
        };
        let data: String = self.memory.0.iter().map(|byte| format!("\\{byte:02x}")).collect();
        let core = format!(
            r#"(module (memory (export "memory") 64) (data (i32.const {BASE}) "{data}")
                (global $top (mut i32) (i32.const 65536))
                (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
                    (global.set $top (i32.and (i32.add (global.get $top) (i32.const 7)) (i32.const -8)))
                    (global.get $top)
                    (global.set $top (i32.add (global.get $top) (local.get 3))))
                {} {} {} {} {} {})"#,
            function("resources", "list-resources", 0, &self.resources),
            function("resources", "list-templates", 0, &self.templates),
            function("resources", "read-resource", 2, &self.read),
            function("prompts", "list-prompts", 0, &self.prompts),
            function("prompts", "get-prompt", 4, &self.get),
            function("completion", "complete", 9, &self.complete),
        );
        let mut module = wat::parse_str(core).unwrap();
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
        ComponentEncoder::default().module(&module).unwrap().encode().unwrap()
    }

    async fn load(&self, host: &Host) -> Result<Loaded, LoadError> {
        host.load_bytes(self.component()).await
    }
}

fn keys(offers: &[Arc<crate::provider::Offer>]) -> Vec<&str> {
    offers.iter().map(|offer| offer.key.as_str()).collect()
}

fn who() -> Vec<(String, String)> {
    vec![("who".to_owned(), "Ada".to_owned())]
}

/// The message of what went wrong in a guest.
fn fault<T: std::fmt::Debug>(answer: Result<T, CallError>) -> String {
    match answer {
        Err(CallError::Protocol { code: -32603, message, data: None }) => message,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_plugin_without_tools_can_offer_resources_and_what_cannot_be_published_is_a_warning() {
    let host = Host::new(limits());
    let mut guest = Guest::new(&["resources"]);
    let resources = ["note:1", "notes/2", "note:1", "note:3"].map(|uri| guest.memory.resource(uri));
    guest.resources = at(guest.memory.listed(&resources));
    let templates = ["note:{id}", "note:{id"].map(|text| guest.memory.template(text));
    guest.templates = at(guest.memory.listed(&templates));
    let [uri, text] = ["note:1", "hello"].map(|text| guest.memory.text(text));
    let contents = guest.memory.words(&[&uri[..], &[0; 3], &[0], &text, &[0; 3]].concat());
    guest.read = at(guest.memory.words(&[0, 1, contents, 1]));
    let Loaded { provider, warnings, .. } = guest.load(&host).await.unwrap();

    assert!(provider.tools().is_empty());
    let offers = provider.offers();
    assert_eq!((keys(&offers.resources), keys(&offers.templates)), (vec!["note:1", "note:3"], vec!["note:{id}"]));
    assert!(offers.prompts.is_empty() && !offers.completes);
    let expected = ["\"notes/2\": it is not an absolute URI", "two resources \"note:1\"", "\"note:{id\": it is not a URI template"];
    assert!(warnings.len() == 3 && expected.iter().zip(&warnings).all(|(words, warning)| warning.contains(words)), "{warnings:?}");
    let read = provider.read_resource("note:1", Box::default()).await.unwrap();
    assert_eq!(read.iter().map(JsonText::as_str).collect::<Vec<_>>(), [r#"{"uri":"note:1","text":"hello"}"#]);
    assert_eq!(
        provider.get_prompt("greet", who(), Box::default()).await,
        Err(CallError::UnknownPrompt("greet".to_owned())),
        "an interface that is not exported is not called"
    );
}

#[tokio::test]
async fn a_resource_that_is_not_there_is_unknown() {
    let host = Host::new(limits());
    let provider = Guest::reading(&at(ZERO)).load(&host).await.unwrap().provider;
    let read = provider.read_resource("note:2", Box::default()).await;
    assert_eq!(read, Err(CallError::UnknownResource("note:2".to_owned())));
}

#[tokio::test]
async fn an_error_that_the_plugin_answers_is_the_plugins() {
    let host = Host::new(limits());
    let mut guest = Guest::reading("");
    let message = guest.memory.text("the shelf is locked");
    guest.read = at(guest.memory.words(&[1, 0xffff_8300, message[0], message[1], 0]));
    let provider = guest.load(&host).await.unwrap().provider;
    let read = provider.read_resource("note:1", Box::default()).await;
    assert_eq!(read, Err(CallError::Protocol { code: -32000, message: "the shelf is locked".to_owned(), data: None }));
}

#[tokio::test]
async fn what_goes_wrong_in_a_guest_is_an_error_with_its_words() {
    let host = Host::new(limits());
    let store = |address: i64| format!("(i32.store (i32.const {address}) (i32.const 1)) unreachable");
    let (far, below) = (store(0x7fff_0000), store(-64));
    let crashed = "plugin p crashed: wasm trap: out of bounds memory access; its output";
    for (body, words) in [
        ("unreachable", "plugin p crashed"),
        (SPIN, "time limit (300ms)"),
        (&far, crashed),
        (&below, "just below address 0, which is where a stack overflows"),
    ] {
        let reading = Guest::reading(body).load(&host).await.unwrap().provider;
        let message = fault(reading.read_resource("note:1", Box::default()).await);
        assert!(message.contains(words), "{message}");
        let greeting = Guest::greeting(body).load(&host).await.unwrap().provider;
        let message = fault(greeting.get_prompt("greet", who(), Box::default()).await);
        assert!(message.contains(words), "{message}");
    }
}

#[tokio::test]
async fn a_large_resource_is_ended_by_the_output_limit() {
    // It is read beside the workers, which takes its time on a busy machine.
    let host = Host::new(PluginLimits { timeout: Duration::from_secs(20), ..limits() });
    // As it is sent: bytes become a third longer.
    for (bytes, blob, fits) in [((1 << 20) - 100, 0, true), ((1 << 20) + 1, 0, false), (900 << 10, 1, false)] {
        let mut guest = Guest::reading("");
        let uri = guest.memory.text("note:1");
        let contents = guest.memory.words(&[&uri[..], &[0; 3], &[blob, 65536, bytes], &[0; 3]].concat());
        let answer = guest.memory.words(&[0, 1, contents, 1]);
        guest.read = format!("(memory.fill (i32.const 65536) (i32.const 97) (i32.const {bytes})) {}", at(answer));
        let provider = guest.load(&host).await.unwrap().provider;
        let read = provider.read_resource("note:1", Box::default()).await;
        if fits {
            assert!(read.is_ok());
        } else {
            assert!(fault(read).contains("output limit (1 MiB)"));
        }
    }
}

#[tokio::test]
async fn arguments_are_checked_before_the_guest_runs() {
    let host = Host::new(limits());
    let provider = Guest::greeting("unreachable").load(&host).await.unwrap().provider;
    for (arguments, word) in [(Vec::new(), "needs `who`"), ([who(), vec![("how".to_owned(), String::new())]].concat(), "no argument `how`")]
    {
        match provider.get_prompt("greet", arguments, Box::default()).await {
            Err(CallError::InvalidParams(message)) => assert!(message.contains(word), "{message}"),
            other => panic!("{other:?}"),
        }
    }
    let unknown = provider.get_prompt("leave", Vec::new(), Box::default()).await;
    assert_eq!(unknown, Err(CallError::UnknownPrompt("leave".to_owned())));
}

#[tokio::test]
async fn a_prompt_is_filled_in() {
    let host = Host::new(limits());
    let mut guest = Guest::greeting("");
    let text = guest.memory.text("hello");
    // Descriptions and metas are not there; text without hints is the first kind of content. Hints have an `f64` in them: all is a multiple of 8 bytes.
    let mut message = vec![1, 0, 0, 0, text[0], text[1]];
    message.resize(64, 0);
    let messages = guest.memory.words(&message);
    guest.get = at(guest.memory.words(&[0, 0, 0, 0, messages, 1, 0, 0, 0]));
    let provider = guest.load(&host).await.unwrap().provider;
    let filled = provider.get_prompt("greet", who(), Box::default()).await.unwrap();
    assert_eq!(filled.messages.as_str(), r#"[{"role":"assistant","content":{"type":"text","text":"hello"}}]"#);
    assert_eq!((filled.description, filled.meta), (None, None));
}

#[tokio::test]
async fn values_are_asked_for_where_the_prompt_is_there() {
    let host = Host::new(limits());
    let completion = |name: &str| Completion {
        reference: Reference::Prompt(name.to_owned()),
        argument: "who".to_owned(),
        value: "A".to_owned(),
        others: Vec::new(),
    };
    let mut guest = Guest::greeting("unreachable");
    let silent = guest.load(&host).await.unwrap().provider;
    assert!(!silent.offers().completes);
    assert_eq!(silent.complete(completion("greet"), Box::default()).await, Ok(Completions::default()));

    guest.interfaces = &["prompts", "completion"];
    let value = guest.memory.text("Ada");
    let values = guest.memory.words(&value.repeat(150));
    guest.complete = at(guest.memory.words(&[0, values, 150, 0, 0, 0]));
    let provider = guest.load(&host).await.unwrap().provider;
    assert!(provider.offers().completes);
    let found = provider.complete(completion("greet"), Box::default()).await.unwrap();
    assert_eq!(found, Completions { values: vec!["Ada".to_owned(); 100], total: Some(150), has_more: true });
    let unknown = provider.complete(completion("leave"), Box::default()).await;
    assert_eq!(unknown, Err(CallError::UnknownPrompt("leave".to_owned())));
    let template = Completion { reference: Reference::Template("note:{id}".to_owned()), ..completion("") };
    let unknown = provider.complete(template, Box::default()).await;
    assert!(matches!(&unknown, Err(CallError::InvalidParams(message)) if message.contains("note:{id}")), "{unknown:?}");
}

#[tokio::test]
async fn a_list_that_fails_says_which() {
    let host = Host::new(limits());
    type Break = fn(&mut Guest);
    let cases: [(Break, &str); 4] = [
        (|guest| guest.resources = "unreachable".to_owned(), "cannot list its resources: plugin p crashed"),
        (|guest| guest.templates = SPIN.to_owned(), "cannot list its resource templates: plugin p went over its time limit"),
        (|guest| guest.prompts = "unreachable".to_owned(), "cannot list its prompts: plugin p crashed"),
        (|_| {}, "no tools, no resources and no prompts: its lists are empty"),
    ];
    for (spoil, words) in cases {
        let mut guest = Guest::new(&["resources", "prompts", "completion"]);
        spoil(&mut guest);
        let message = guest.load(&host).await.err().unwrap().to_string();
        assert!(message.contains(words), "{message}");
    }
}

#[tokio::test]
async fn a_long_list_is_ended_by_the_output_limit() {
    let host = Host::new(PluginLimits { output: 64 << 10, ..limits() });
    let mut guest = Guest::new(&["resources"]);
    // The same text is copied out once for each.
    let resource = guest.memory.resource(&format!("note:{}", "a".repeat(1000)));
    guest.resources = at(guest.memory.listed(&vec![resource; 2000]));
    let message = guest.load(&host).await.err().unwrap().to_string();
    assert!(message.contains("cannot list its resources") && message.contains("output limit"), "{message}");
}

#[tokio::test]
async fn an_interface_of_the_same_name_with_other_functions_is_refused() {
    let host = Host::new(limits());
    let text = r#"(component (core module $m (func (export "f") (result i32) i32.const 0)) (core instance $i (instantiate $m))
        (func $f (result u32) (canon lift (core func $i "f")))
        (instance $prompts (export "list-prompts" (func $f)))
        (export "toolbay:plugin/prompts@0.1.0" (instance $prompts)))"#;
    let message = host.load(text).await.err().unwrap().to_string();
    assert!(message.contains("toolbay:plugin/prompts") && message.contains("not the one that this host knows"), "{message}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_that_is_dropped_gives_its_place_back() {
    let host = Host::new(PluginLimits { concurrency: 1, queue: 0, timeout: Duration::from_secs(60), ..limits() });
    let provider = Guest::reading(SPIN).load(&host).await.unwrap().provider;
    for _ in 0..3 {
        let ended = tokio::time::timeout(Duration::from_millis(50), provider.read_resource("note:1", Box::default())).await;
        assert!(ended.is_err(), "{ended:?}");
    }
}
