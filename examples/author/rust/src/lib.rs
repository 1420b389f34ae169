use toolbay_plugin::{Ctx, Result, data, plugin, serde_json::json, tool};

/// Counts the characters of a page.
#[tool(read_only, open_world)]
fn length(ctx: &Ctx, url: &str) -> Result<usize> {
    Ok(ctx.get(url).fetch_text()?.chars().count())
}

#[data]
struct Order {
    cake: String,
    pieces: u32,
}

/// Orders a cake.
#[tool]
fn order(ctx: &Ctx) -> Result<String> {
    let order = ctx.ask("Which cake?")?.accepted();
    Ok(order.map_or("no cake".into(), |Order { cake, pieces }| format!("{pieces} pieces of {cake}")))
}

/// Doubles a number by the tool `add`.
#[tool(read_only)]
fn double(ctx: &Ctx, number: f64) -> Result<f64> {
    ctx.progress(1, 2, "adding");
    Ok(ctx.call("add", &json!({ "a": number, "b": number }))?.read()?)
}

/// Counts the visits of somebody.
#[tool]
fn visit(ctx: &Ctx, name: &str) -> Result<i64> {
    ctx.info(&format!("{name} is here"));
    Ok(ctx.store().increment(name, 1)?)
}

/// Reads a note.
#[tool(read_only)]
fn note(name: &str) -> Result<String> {
    Ok(std::fs::read_to_string(format!("/notes/{name}.txt"))?)
}

plugin!(length, order, double, visit, note);

#[cfg(test)]
mod tests {
    use super::*;
    use toolbay_plugin::{Answer, testing::Fake};

    #[test]
    fn it_orders_what_was_asked_for() {
        let host = Fake::new().accept(json!({ "cake": "apple", "pieces": 2 }));
        assert_eq!(order(&host.ctx()).unwrap(), "2 pieces of apple");
        assert_eq!(order(&Fake::new().decline().ctx()).unwrap(), "no cake");
    }

    #[test]
    fn it_calls_keeps_fetches_and_says_how_far_it_is() {
        let sum = |given: &toolbay_plugin::serde_json::Value| given["a"].as_f64().unwrap() + given["b"].as_f64().unwrap();
        let host = Fake::new()
            .tool("add", move |given| Answer { structured: Some(json!({ "result": sum(given) })), ..Answer::new() })
            .http("https://example.com/", 200, "größer");
        assert_eq!(double(&host.ctx(), 2.5).unwrap(), 5.0);
        assert_eq!(host.progress().len(), 1);
        assert_eq!([visit(&host.ctx(), "Ann").unwrap(), visit(&host.ctx(), "Ann").unwrap()], [1, 2]);
        assert_eq!(length(&host.ctx(), "https://example.com").unwrap(), 6);
        let failed = host.call(TOOLS, "note", &json!({ "name": "none" }));
        assert!(failed.is_error, "{failed:?}");
    }
}
