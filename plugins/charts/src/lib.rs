//! Charts: a tool whose answer clients show as a page (MCP Apps), and one that only that page calls.
//!
//! The page is a resource. `@app` in the doc comment of a tool (`wit/charts.wit`) says that it belongs to that.

use exports::toolbay::plugin::resources::{Contents, Error, Guest as Resources, Resource, ResourceBody, Template};

wit_bindgen::generate!({ path: "wit", world: "charts", generate_all });

/// Where clients find the page.
const PAGE: &str = "ui://charts/chart.html";
/// The type that MCP Apps has for pages.
const MIME: &str = "text/html;profile=mcp-app";
/// It needs nothing from anywhere, which is what clients allow by themselves.
const META: &str = r#"{"ui":{"prefersBorder":true}}"#;

/// More can nobody tell apart.
const MAX_POINTS: usize = 200;

struct Charts;

impl Guest for Charts {
    fn show_chart(title: String, points: Vec<Point>, kind: Option<Kind>, unit: Option<String>) -> Result<Chart, String> {
        check(&points)?;
        Ok(Chart { title, kind: kind.unwrap_or(Kind::Bars), points, unit })
    }

    fn sort_chart(mut points: Vec<Point>, order: Order) -> Result<Vec<Point>, String> {
        check(&points)?;
        match order {
            Order::Given => {}
            Order::ByLabel => points.sort_by(|a, b| a.label.cmp(&b.label)),
            // The largest first: that is what one looks for.
            Order::ByValue => points.sort_by(|a, b| b.value.total_cmp(&a.value)),
        }
        Ok(points)
    }
}

fn check(points: &[Point]) -> Result<(), String> {
    match points {
        [] => Err("there is nothing to draw: give one point or more".into()),
        many if many.len() > MAX_POINTS => Err(format!("{} points are too many to read: give {MAX_POINTS} at most", many.len())),
        some => match some.iter().find(|point| !point.value.is_finite()) {
            Some(point) => Err(format!("the value of {:?} is not a finite number", point.label)),
            None => Ok(()),
        },
    }
}

impl Resources for Charts {
    fn list_resources() -> Result<Vec<Resource>, Error> {
        Ok(vec![Resource {
            uri: PAGE.into(),
            name: "chart".into(),
            title: Some("A chart".into()),
            description: Some("The page that draws what show_chart answers".into()),
            mime_type: Some(MIME.into()),
            size: None,
            icons: Vec::new(),
            annotations: None,
            meta: Some(META.into()),
            extra: None,
        }])
    }

    fn list_templates() -> Result<Vec<Template>, Error> {
        Ok(Vec::new())
    }

    fn read_resource(uri: String) -> Result<Option<Vec<Contents>>, Error> {
        let page = || Contents {
            uri: PAGE.into(),
            mime_type: Some(MIME.into()),
            body: ResourceBody::Text(include_str!("chart.html").into()),
            meta: Some(META.into()),
        };
        Ok((uri == PAGE).then(|| vec![page()]))
    }
}

export!(Charts);
