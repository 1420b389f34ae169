//! A text as the words that are compared: in lower case, split where names are split, and without most of their endings.

/// Words that questions have and tools are not told apart by.
const EMPTY: &[&str] = &[
    "a", "about", "all", "am", "an", "and", "any", "are", "as", "at", "be", "been", "but", "by", "can", "could", "did", "do", "does",
    "for", "from", "had", "has", "have", "how", "i", "if", "in", "into", "is", "it", "its", "may", "me", "my", "need", "of", "on", "or",
    "our", "out", "please", "should", "so", "some", "that", "the", "their", "them", "then", "there", "these", "they", "this", "those",
    "to", "tool", "tools", "up", "use", "used", "uses", "using", "want", "was", "we", "what", "when", "where", "which", "who", "will",
    "with", "would", "you", "your",
];

/// Letters of the longest word that counts. What is longer is no word: a digest, an encoded text.
const LONGEST: usize = 40;

/// Calls `take` with each word of a text.
pub(super) fn each(text: &str, mut take: impl FnMut(&str)) {
    split(text, |word| finish(word, &mut take));
}

/// Writes a name as its words, in lower case.
pub(super) fn plain(name: &str, to: &mut String) {
    split(name, |word| {
        if !(word.is_empty() || to.is_empty() || to.ends_with(' ')) {
            to.push(' ');
        }
        to.push_str(word);
        word.clear();
    });
}

/// Calls `end` wherever a word ends, with its letters in lower case. It leaves nothing of them.
fn split(text: &str, mut end: impl FnMut(&mut String)) {
    let mut word = String::new();
    let mut before = None;
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        if !letter.is_alphanumeric() {
            end(&mut word);
            before = None;
            continue;
        }
        // `listPullRequests`, `HTTPServer`, `oauth2Token`.
        let next_is_lower = letters.peek().is_some_and(|next| next.is_lowercase());
        let begins = letter.is_uppercase()
            && before.is_some_and(|before: char| before.is_lowercase() || before.is_numeric() || (before.is_uppercase() && next_is_lower));
        if begins {
            end(&mut word);
        }
        word.extend(letter.to_lowercase());
        before = Some(letter);
    }
    end(&mut word);
}

fn finish(word: &mut String, take: &mut impl FnMut(&str)) {
    if !word.is_empty() && word.len() <= LONGEST && !EMPTY.contains(&word.as_str()) {
        stem(word);
        take(word);
    }
    word.clear();
}

/// Takes the endings of English off, so that `creates`, `created`, `creating` and `creation` are one word. What comes out need not be one.
fn stem(word: &mut String) {
    if !word.is_ascii() || word.bytes().any(|byte| byte.is_ascii_digit()) {
        return;
    }
    plural(word);
    for (ending, least) in [("ation", 3), ("ition", 3), ("tion", 3), ("sion", 3), ("ing", 3), ("ed", 3), ("er", 4), ("or", 4), ("ly", 4)] {
        let Some(rest) = word.strip_suffix(ending).filter(|rest| rest.len() >= least && has_vowel(rest)) else { continue };
        let mut rest = rest.to_owned();
        match ending {
            // `deletion` is `delet`, as `delete` is; `translation` is `translat`.
            "tion" | "sion" => rest.extend(ending.chars().next()),
            "ation" | "ition" => rest.push_str(ending.get(..2).unwrap_or_default()),
            _ => single(&mut rest),
        }
        *word = rest;
        break;
    }
    if word.len() > 4 && word.ends_with('e') {
        word.pop();
    }
    if word.len() > 3 && word.ends_with('y') {
        word.pop();
        word.push('i');
    }
}

fn plural(word: &mut String) {
    if word.len() > 4 && word.ends_with("ies") {
        word.truncate(word.len() - 3);
        word.push('y');
    } else if word.len() > 4 && ["ses", "xes", "zes", "ches", "shes"].iter().any(|ending| word.ends_with(ending)) {
        word.truncate(word.len() - 2);
    } else if word.len() > 3 && word.ends_with('s') && !["ss", "us", "is"].iter().any(|ending| word.ends_with(ending)) {
        word.pop();
    }
}

/// `planning` is `plan`.
fn single(word: &mut String) {
    let mut last = word.bytes().rev();
    if let (Some(a), Some(b)) = (last.next(), last.next())
        && a == b
        && !matches!(a, b'l' | b's' | b'z' | b'e' | b'o')
    {
        word.pop();
    }
}

fn has_vowel(word: &str) -> bool {
    word.bytes().any(|byte| matches!(byte, b'a' | b'e' | b'i' | b'o' | b'u' | b'y'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(text: &str) -> Vec<String> {
        let mut words = Vec::new();
        each(text, |word| words.push(word.to_owned()));
        words
    }

    #[test]
    fn names_are_split_as_people_read_them() {
        assert_eq!(words("list_pull_requests"), words("listPullRequests"));
        assert_eq!(words("HTTPServerStatus"), words("http server status"));
        assert_eq!(words("get-user.byId2"), ["get", "user", "id2"]);
        let mut text = "x: ".to_owned();
        plain("list_pullRequests.ofThe HTTPServer", &mut text);
        assert_eq!(text, "x: list pull requests of the http server");
        assert_eq!(words("Überweisung; 東京"), ["überweisung", "東京"]);
        assert!(words("how do I use the tool?").is_empty());
    }

    #[test]
    fn forms_of_a_word_are_one_word() {
        for forms in [
            &["create", "creates", "created", "creating", "creation", "creator"][..],
            &["delete", "deletes", "deleting", "deletion"],
            &["query", "queries", "querying"],
            &["search", "searches", "searching"],
            &["translate", "translation", "translator"],
            &["plan", "plans", "planning", "planned"],
            &["file", "files"],
            &["convert", "converting", "converter", "conversion"],
        ] {
            let stems: Vec<_> = forms.iter().map(|form| words(form)).collect();
            let same = stems.iter().filter(|stem| **stem == stems[0]).count();
            assert!(same + 1 >= forms.len(), "{forms:?}: {stems:?}");
        }
        for (one, other) in [("class", "clasp"), ("status", "state"), ("news", "net"), ("user", "use"), ("string", "strict")] {
            assert_ne!(words(one), words(other), "{one} {other}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_taken_apart(text in "\\PC{0,200}") {
            for word in words(&text) {
                prop_assert!(!word.is_empty() && !word.contains(char::is_whitespace));
            }
        }
    }
}
