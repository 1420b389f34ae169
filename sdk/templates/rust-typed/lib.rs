wit_bindgen::generate!({ path: "wit", world: "plugin", generate_all });

struct Plugin;

impl Guest for Plugin {
    fn greet(name: String) -> Result<String, String> {
        if name.is_empty() {
            return Err("whom should I greet?".into());
        }
        Ok(format!("Hello, {name}!"))
    }
}

export!(Plugin);
