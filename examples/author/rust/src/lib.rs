use toolbay_plugin::{AskError, Ctx, HttpError, Image, Json, Reply, data, plugin, tool};

/// Greets somebody.
#[tool(read_only)]
fn greet(
    /** Whom. */
    name: &str,
    #[schemars(range(min = 1, max = 9))] times: Option<usize>,
) -> String {
    vec![format!("Hello, {name}!"); times.unwrap_or(1)].join(" ")
}

#[data]
struct Sum {
    sum: f64,
    count: usize,
}

/// Adds numbers.
#[tool(read_only)]
fn add(ctx: &Ctx, numbers: Vec<f64>) -> Result<Json<Sum>, &'static str> {
    if numbers.is_empty() {
        return Err("there is nothing to add");
    }
    ctx.progress(1, 2, "adding");
    Ok(Json(Sum { sum: numbers.iter().sum(), count: numbers.len() }))
}

#[data]
struct Order {
    cake: String,
    pieces: u8,
}

/// Orders a cake.
#[tool]
fn order(ctx: &Ctx) -> Result<String, AskError> {
    Ok(match ctx.ask("Which cake?")? {
        Reply::Accepted(Order { cake, pieces }) => format!("{pieces} pieces of {cake}"),
        _ => "no cake".into(),
    })
}

/// A red dot.
#[tool(read_only)]
fn dot() -> Image {
    Image::png(include_bytes!("dot.png").to_vec())
}

/// Reads a page.
#[tool(read_only, open_world)]
fn read(ctx: &Ctx, url: &str) -> Result<String, HttpError> {
    ctx.get(url).fetch_text()
}

plugin!(greet, add, order, dot, read);

#[cfg(test)]
mod tests {
    use super::*;
    use toolbay_plugin::{serde_json::json, testing::Fake};

    #[test]
    fn it_orders_what_was_asked_for() {
        let host = Fake::new().accept(json!({ "cake": "apple", "pieces": 2 }));
        assert_eq!(order(&host.ctx()).unwrap(), "2 pieces of apple");
        assert_eq!(order(&Fake::new().decline().ctx()).unwrap(), "no cake");
    }

    #[test]
    fn it_adds_and_says_how_far_it_is() {
        let host = Fake::new();
        let answer = host.call(TOOLS, "add", &json!({ "numbers": [1, 2] }));
        assert_eq!(answer.structured, Some(json!({ "sum": 3.0, "count": 2 })));
        assert_eq!(host.progress().len(), 1);
        assert!(host.call(TOOLS, "add", &json!({ "numbers": [] })).is_error);
    }
}
