//! Many real documents, one after the other: `scripts/openapi-corpus.sh` fetches them and runs this.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use super::*;

/// Documents smaller than this say nothing of how memory grows.
const LARGE: u64 = 300 << 10;

#[derive(Default)]
struct Sum {
    documents: usize,
    refused: BTreeMap<String, usize>,
    panics: Vec<String>,
    tools: usize,
    left_out: BTreeMap<String, usize>,
    slowest: (Duration, String),
    largest: (f64, String),
    longest_list: (f64, String),
    all: Duration,
}

fn documents(folder: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            documents(&path, found);
        } else if path.extension().is_some_and(|ending| ["json", "yaml", "yml"].iter().any(|known| ending == *known)) {
            found.push(path);
        }
    }
}

/// A sentence without what is different in each: names, numbers and places.
fn class(text: &str) -> String {
    let text = text.split(" (at ").next().unwrap_or_default();
    let reason = text.split_once(" is left out: ").map_or(text, |(_, reason)| reason);
    let mut class = String::new();
    let mut open = false;
    for c in reason.chars() {
        match c {
            '"' => open = !open,
            '{' => open = true,
            '}' => open = false,
            _ if open || c.is_ascii_digit() => {}
            c => class.push(c),
        }
    }
    class.chars().take(90).collect()
}

/// Bytes of memory now, and the most since the last look.
fn memory() -> (u64, u64) {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or_default() << 10
    };
    let found = (line("VmRSS:"), line("VmHWM:"));
    // 5: the most is what it is now (proc(5), clear_refs).
    let _ = fs::write("/proc/self/clear_refs", "5");
    found
}

#[expect(clippy::cast_precision_loss, reason = "a ratio")]
async fn one(path: &Path, sum: &mut Sum) {
    let name = path.to_string_lossy().into_owned();
    let size = fs::metadata(path).unwrap().len();
    let configured = OpenApiSource { base_url: Some("http://127.0.0.1:9".parse().unwrap()), ..source(&name) };
    let (before, _) = memory();
    let started = Instant::now();
    let looked = tokio::spawn(async move {
        let mut reader = reader(&configured, ServerLimits { max_message: 256 << 20, ..ServerLimits::default() });
        let looked = reader.look().await;
        (looked, reader)
    });
    let looked = looked.await;
    let took = started.elapsed();
    let (_, most) = memory();
    sum.documents += 1;
    sum.all += took;
    if took > sum.slowest.0 {
        sum.slowest = (took, name.clone());
    }
    let factor = most.saturating_sub(before) as f64 / size as f64;
    if size > LARGE && factor > sum.largest.0 {
        sum.largest = (factor, format!("{name} ({size} bytes)"));
    }
    match looked {
        Err(_) => sum.panics.push(name.clone()),
        Ok((Err(error), _)) => *sum.refused.entry(class(&error.to_string().replace(&name, ""))).or_default() += 1,
        Ok((Ok(Look::Same), _)) => panic!("nothing was read before"),
        Ok((Ok(Look::New(provider, warnings)), _)) => {
            let published: usize = provider
                .tools()
                .iter()
                .map(|tool| {
                    let of = |schema: &serde_json::Map<String, Value>| serde_json::to_string(schema).unwrap().len();
                    of(&tool.input_schema) + tool.output_schema.as_ref().map_or(0, |schema| of(schema))
                })
                .sum();
            let list = published as f64 / size as f64;
            if size > LARGE && list > sum.longest_list.0 {
                sum.longest_list = (list, name.clone());
            }
            sum.tools += provider.tools().len();
            for warning in warnings {
                *sum.left_out.entry(class(&warning)).or_default() += 1;
            }
        }
    }
    if std::env::var_os("TOOLBAY_OPENAPI_EACH").is_some() {
        println!("{name}: {size} bytes, {took:?}, memory x{factor:.1}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "started by scripts/openapi-corpus.sh"]
async fn real_documents_are_read() {
    let folder = PathBuf::from(std::env::var_os("TOOLBAY_OPENAPI_CORPUS").expect("TOOLBAY_OPENAPI_CORPUS is a folder of documents"));
    let (mut found, mut sum) = (Vec::new(), Sum::default());
    documents(&folder, &mut found);
    for path in &found {
        one(path, &mut sum).await;
    }
    println!("{} documents, {} tools, {:?} in all", sum.documents, sum.tools, sum.all);
    println!("slowest: {:?} {}", sum.slowest.0, sum.slowest.1);
    println!("memory beyond what was there, most for its size: x{:.1} {}", sum.largest.0, sum.largest.1);
    println!("schemas published, most for its size: x{:.1} {}", sum.longest_list.0, sum.longest_list.1);
    for (what, classes) in
        [("documents refused", &sum.refused), ("operations left out, or told of (at most 20 for a document)", &sum.left_out)]
    {
        println!("{what}: {}", classes.values().sum::<usize>());
        let mut classes: Vec<_> = classes.iter().collect();
        classes.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        for (class, count) in classes.iter().take(40) {
            println!("{count:7} {class}");
        }
    }
    assert_eq!(sum.panics, Vec::<String>::new());
    assert!(sum.documents > 0, "no document in {}", folder.display());
}
