use toolbay_plugin::{plugin, tool};

/// Greets somebody.
#[tool(read_only)]
fn greet(/** Whom. */ name: &str) -> Result<String, String> {
    if name.is_empty() {
        return Err("whom should I greet?".into());
    }
    Ok(format!("Hello, {name}!"))
}

plugin!(greet);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_greets() {
        assert_eq!(greet("Ann").as_deref(), Ok("Hello, Ann!"));
        assert!(greet("").is_err());
    }
}
