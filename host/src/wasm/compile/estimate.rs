//! How long Cranelift will take for a component, by how much code is in it.

use wasmparser::{Parser, Payload};

/// Bytes of WebAssembly code from which on Winch compiles a component first. Measured on one core: Cranelift takes 1.3 to 1.6 µs a byte (a Rust
/// plugin's 0.2 MB take it 0.35 s, QuickJS's 1.3 MB 2.2 s), Winch a fifth of that. So below this it is a tenth of a second, which nobody waits for
/// twice gladly: another process and another swap would cost half of what they save.
const LARGE: u64 = 64 << 10;

/// Whether there is so much code in a component that it takes Cranelift noticeably long. What cannot be read is not: its compiler says what is wrong.
pub(super) fn is_large(component: &[u8]) -> bool {
    let mut code = 0;
    for payload in Parser::new(0).parse_all(component) {
        match payload {
            // Data and names cost next to nothing.
            Ok(Payload::CodeSectionStart { size, .. }) => code += u64::from(size),
            Ok(_) => {}
            Err(_) => return false,
        }
        if code >= LARGE {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_counts_and_data_does_not() {
        let module = |content: &str| wat::parse_str(format!("(component (component (core module {content})))")).unwrap();
        let data = format!("(memory 4) (data (i32.const 0) \"{}\")", "x".repeat(200_000));
        assert!(!is_large(&module(&data)));
        let code = format!("(func {})", "(drop (i32.const 100000))".repeat(20_000));
        assert!(is_large(&module(&code)));
        assert!(!is_large(b"no component"));
    }
}
