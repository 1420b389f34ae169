//! Text that is no TOML: it is shown, but no secret of it.

use super::*;

#[test]
fn text_that_is_no_toml_is_shown_with_a_mark() {
    for (text, message) in [
        (
            "[plugin.w]\nmemory = 64MiB\n",
            "2:10: this is not TOML: string values must be quoted, expected literal string\n2 | memory = 64MiB\n  |          ^",
        ),
        ("listen = \"x\"\nlisten = \"y\"", "2:1: this is not TOML: duplicate key\n2 | listen = \"y\"\n  | ^"),
    ] {
        assert_eq!(wrong(text), message, "{text}");
    }
    for text in [
        "[plugin.w",
        "= 1",
        "listen",
        "a = [",
        "\u{0}",
        "[plugin.w.env]\nKEY = s3cr3t",
        "[plugin.w.env]\nKEY = \"s3cr3t",
        "[plugin.w.env]\nmemory = s3cr3t\n",
        "[plugin.w]\nenv = { KEY = s3cr3t }",
        "[plugin.w]\nenv = {\n  A = \"ok\",\n  KEY = s3cr3t,\n}",
        "[plugin.w]\nenv.KEY = \"\"\"\n\\s3cr3t s3cr3t\n\"\"\"",
        "[plugin.w]\nenv.KEY = \"\"\"\n[]\ns3cr3t \\q s3cr3t\n\"\"\"",
        "[auth.tokens]\nci = s3cr3t",
        "[plugin.w]\nenv.KEY = \"\"\"\ns3cr3t= \\q\n\"\"\"",
        "[auth.tokens]\ns3cr3t",
        "[auth]\ntokens.ci = 's3cr3t",
        "[auth.tokens]\n\"ci\" \"s3cr3t\" = 1",
    ] {
        let shown = wrong(text);
        assert!(shown.contains("this is not TOML: "), "{shown}");
    }
}

#[test]
fn no_slip_of_a_finger_shows_a_secret() {
    let text = "listen = \"127.0.0.1:1\"\n[auth.tokens]\nci = \"s3cr3t-s3cr3t\"\n[plugin.w]\nmemory = 65536\nenv = { A = \"s3cr3t\", B = 's3cr3t' }\n\
                [plugin.v]\nqueue = 1\nenv.KEY = \"\"\"s3cr3t\ns3cr3t = s3cr3t\n\"\"\"\n[plugin.u.env]\nKEY = \"s3cr3t\"\n[plugin.u.tools.t]\ntitle = \"x\"\n";
    let mut broken = 0;
    for (at, _) in text.char_indices() {
        for slip in ["", "\"", "'", "=", "\n", "[", "]", "{", "}", "\\", "#", "x"] {
            for skip in [0, 1] {
                let slipped = format!("{}{slip}{}", &text[..at], &text[at + skip..]);
                // A secret of which a slip made a key of its own is named as any key is.
                let Err(error) = parse(&slipped) else { continue };
                broken += 1;
                let shown = format!("{error}\n{error:?}").replace("unknown key \"s3cr3t\"", "");
                assert!(!shown.contains("s3cr3t"), "{slipped}\n---\n{shown}");
            }
        }
    }
    assert!(broken > 1000, "{broken}");
}

proptest::proptest! {
    #[test]
    fn no_text_at_all_makes_it_panic(text in "(\\PC|[\\[\\]{}=\"'.,#\n\t]){0,60}", at in 0..6_usize) {
        let before = ["", "[plugin.w]\n", "[plugin.w]\nhttp = [\"", "[http]\nmax_body = \"", "[plugin.w]\ntimeout = \"", "listen = \""][at];
        if let Err(error) = parse(&format!("{before}{text}")) {
            proptest::prop_assert!(!error.problems().is_empty() && !error.to_string().is_empty());
        }
    }
}
