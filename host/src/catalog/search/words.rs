//! A text as the words that are compared: in lower case, without accents, split where names are split, and without most of their endings. Where words are
//! written without spaces between them, two letters at a time are one.

use unicode_normalization::UnicodeNormalization as _;

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

/// Calls `take` with each two words of a text that stand side by side, as one: who looks for `qrcode` means `qr_code` too.
pub(super) fn pairs(text: &str, mut take: impl FnMut(&str)) {
    let mut before = String::new();
    split(text, |word| {
        if !(before.is_empty() || word.is_empty()) {
            before.push_str(word);
            finish(&mut before, &mut take);
        }
        std::mem::swap(&mut before, word);
        word.clear();
    });
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
fn split(text: &str, end: impl FnMut(&mut String)) {
    if text.is_ascii() {
        split_plain(text, end);
    } else {
        // One letter is one, however it is written: `é` by one character or two, `Ａ` of full width.
        let plain: String = text.nfkd().filter(|letter| !is_accent(*letter)).nfc().collect();
        split_plain(&plain, end);
    }
}

fn split_plain(text: &str, mut end: impl FnMut(&mut String)) {
    let mut word = String::new();
    let mut before = None;
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        let has_no_spaces = has_no_spaces(letter);
        if !(letter.is_alphanumeric() || has_no_spaces) {
            end(&mut word);
            before = None;
            continue;
        }
        // `listPullRequests`, `HTTPServer`, `oauth2Token`.
        let next_is_lower = letters.peek().is_some_and(|next| next.is_lowercase());
        let begins = letter.is_uppercase()
            && before.is_some_and(|before: char| before.is_lowercase() || before.is_numeric() || (before.is_uppercase() && next_is_lower));
        if begins || before.is_some_and(|before| self::has_no_spaces(before) != has_no_spaces) {
            end(&mut word);
        }
        word.extend(letter.to_lowercase());
        before = Some(letter);
    }
    end(&mut word);
}

/// The marks that Latin, Greek and Cyrillic letters have.
fn is_accent(letter: char) -> bool {
    matches!(letter, '\u{300}'..='\u{36f}')
}

/// Letters of Chinese, Japanese, Thai, Lao, Burmese and Khmer.
fn has_no_spaces(letter: char) -> bool {
    matches!(
        letter,
        '\u{e01}'..='\u{e3a}' | '\u{e40}'..='\u{e4e}' | '\u{e81}'..='\u{ece}' | '\u{1000}'..='\u{1049}' | '\u{1780}'..='\u{17d3}'
            | '\u{3005}'..='\u{3007}' | '\u{3041}'..='\u{3096}' | '\u{30a1}'..='\u{30fa}' | '\u{30fc}' | '\u{3400}'..='\u{4dbf}'
            | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{323af}'
    )
}

fn finish(word: &mut String, take: &mut impl FnMut(&str)) {
    if word.chars().next().is_some_and(has_no_spaces) {
        let ends: Vec<usize> = word.char_indices().map(|(at, _)| at).skip(1).chain([word.len()]).collect();
        let begins = word.char_indices().map(|(at, _)| at);
        // The last letter belongs to the two that it ends, unless it is the only one.
        for (begin, end) in begins.zip(ends.iter().skip(usize::from(ends.len() > 1))) {
            take(word.get(begin..*end).unwrap_or_default());
        }
    } else if !word.is_empty() && word.len() <= LONGEST && !EMPTY.contains(&word.as_str()) {
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
        assert_eq!(words("Überweisung; 東京"), ["uberweisung", "東京"]);
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

    #[test]
    fn a_letter_is_one_however_it_is_written() {
        assert_eq!(words("Ca\u{301}fe\u{301} ＡＤＤ ﬁle"), words("cáfé add file"));
        assert_eq!(words("météo"), words("meteo"));
        assert_eq!(words("Ёлка"), words("елка"));
        assert_eq!(words("한국어"), ["한국어"]);
    }

    #[test]
    fn where_words_have_no_spaces_two_letters_are_one() {
        assert_eq!(words("東京の天気"), ["東京", "京の", "の天", "天気"]);
        assert_eq!(words("雨"), ["雨"]);
        assert_eq!(words("2026年の気温calendar"), ["2026", "年の", "の気", "気温", "calendar"]);
        assert!(words(&"東京の天気".repeat(20)).contains(&"天気".to_owned()));
        assert!(words("ตรวจสอบอากาศ").contains(&"อา".to_owned()));
    }

    #[test]
    fn two_words_side_by_side_are_one_too() {
        let pairs = |text| {
            let mut all = Vec::new();
            super::pairs(text, |pair| all.push(pair.to_owned()));
            all
        };
        assert_eq!(pairs("make_qr_code"), [words("makeqr"), words("qrcode")].concat());
        assert_eq!(pairs("webHook"), words("webhook"));
        assert!(pairs("add").is_empty() && pairs("").is_empty());
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
