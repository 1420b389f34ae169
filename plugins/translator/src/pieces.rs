//! Cuts a long text where a reader would: at line breaks, at the ends of sentences, and only then inside of one.

/// A part of a text to be translated by itself, and what stands between it and the next.
#[derive(Debug, PartialEq, Eq)]
pub struct Piece<'a> {
    pub text: &'a str,
    /// Blanks, which are kept as they are.
    pub between: &'a str,
}

/// Marks behind which a sentence ends, where a blank follows.
const ENDS: [char; 7] = ['.', '!', '?', '…', '。', '！', '？'];
/// What may stand between such a mark and the blank.
const CLOSERS: [char; 8] = ['"', '\'', ')', ']', '»', '”', '’', '}'];
/// Words behind which a full stop ends nothing.
const SHORT: [&str; 14] = ["mr", "mrs", "ms", "dr", "st", "vs", "prof", "no", "e.g", "i.e", "etc", "fig", "jr", "sr"];

/// Cuts a text into pieces that `fits` says yes to, as large as lines, else sentences, else parts of one. Begins and ends with something to read.
pub fn cut<'a>(text: &'a str, fits: &impl Fn(&str) -> bool, fits_alone: &impl Fn(&str) -> bool) -> Vec<Piece<'a>> {
    let mut pieces = Vec::new();
    for line in divided(text, line_end) {
        if fits(line.text) {
            pieces.push(line);
            continue;
        }
        let start = pieces.len();
        for sentence in divided(line.text, sentence_end) {
            if fits_alone(sentence.text) {
                pieces.push(sentence);
            } else {
                parts(sentence, fits_alone, &mut pieces);
            }
        }
        // What stood behind the line stands behind its last sentence.
        if let Some(last) = pieces[start..].last_mut() {
            last.between = line.between;
        }
    }
    pieces
}

/// Divides a text behind each place that `end` finds: where a piece ends. Empty pieces are none.
fn divided(text: &str, end: fn(&str) -> Option<usize>) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let at = end(rest).unwrap_or(rest.len());
        let (piece, behind) = rest.split_at(at);
        let piece = piece.trim_end();
        let next = behind.trim_start();
        pieces.push(Piece { text: piece, between: &rest[piece.len()..rest.len() - next.len()] });
        rest = next;
    }
    pieces
}

fn line_end(text: &str) -> Option<usize> {
    text.find(['\n', '\r', '\u{2028}', '\u{2029}'])
}

fn sentence_end(text: &str) -> Option<usize> {
    for (at, mark) in text.char_indices().filter(|(_, char)| ENDS.contains(char)) {
        let end = at + mark.len_utf8();
        let behind = text[end..].trim_start_matches(|char| ENDS.contains(&char) || CLOSERS.contains(&char));
        let end = text.len() - behind.len();
        let wide = !mark.is_ascii() && mark != '…';
        // "Yes!" he said.
        let goes_on = text[..end].ends_with(CLOSERS) && behind.trim_start().starts_with(char::is_lowercase);
        if !behind.is_empty()
            && (wide || behind.starts_with(char::is_whitespace))
            && !goes_on
            && !(mark == '.' && abbreviates(&text[..at], behind))
        {
            return Some(end);
        }
    }
    None
}

/// Whether a full stop between these two ends no sentence: "Dr. Who", "J. Doe", "about 5 p.m. in".
fn abbreviates(before: &str, behind: &str) -> bool {
    let word = before.rsplit(|char: char| char.is_whitespace() || char == '(').next().unwrap_or_default();
    let initial = word.chars().count() == 1 && word.chars().all(char::is_uppercase);
    initial || SHORT.contains(&word.to_lowercase().as_str()) || behind.trim_start().starts_with(char::is_lowercase)
}

/// Cuts a sentence that is too long: behind a comma or the like, else between words, else anywhere.
fn parts<'a>(sentence: Piece<'a>, fits: &impl Fn(&str) -> bool, pieces: &mut Vec<Piece<'a>>) {
    let mut rest = sentence.text;
    while !fits(rest) {
        let at = longest(rest, fits);
        let (piece, behind) = rest.split_at(at);
        let piece = piece.trim_end();
        let next = behind.trim_start();
        pieces.push(Piece { text: piece, between: &rest[piece.len()..rest.len() - next.len()] });
        rest = next;
        if rest.is_empty() {
            return;
        }
    }
    pieces.push(Piece { text: rest, between: sentence.between });
}

/// Where to cut: behind as much as fits.
fn longest(text: &str, fits: &impl Fn(&str) -> bool) -> usize {
    // By halves: what fits does so with less, too.
    let ends: Vec<usize> = text.char_indices().map(|(at, char)| at + char.len_utf8()).collect();
    let fitting = ends.partition_point(|end| fits(&text[..*end])).max(1);
    let end = ends.get(fitting - 1).copied().unwrap_or(text.len());
    let most = &text[..end];
    let behind = |found: Option<usize>| found.map(|at| at + 1).filter(|at| *at > end / 2);
    let clause = most.match_indices([',', ';', ':']).rfind(|(at, _)| text[at + 1..].starts_with(' ')).map(|(at, _)| at);
    behind(clause).or_else(|| most.rfind(char::is_whitespace).filter(|at| *at > 0)).unwrap_or(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(limit: usize) -> impl Fn(&str) -> bool {
        move |text: &str| text.split_whitespace().count() <= limit && text.len() < limit * 20
    }

    fn texts<'a>(pieces: &[Piece<'a>]) -> Vec<&'a str> {
        pieces.iter().map(|piece| piece.text).collect()
    }

    fn cut_at(text: &str, limit: usize) -> Vec<&str> {
        texts(&cut(text, &words(limit), &words(limit)))
    }

    #[test]
    fn what_fits_stays_in_one_piece_but_for_its_lines() {
        assert_eq!(cut_at(" One. Two.  ", 9), ["One. Two."]);
        assert_eq!(cut("a\n\n b\r\nc", &words(9), &words(9))[0], Piece { text: "a", between: "\n\n " });
        assert_eq!(cut_at("a\n\n b\r\nc", 9), ["a", "b", "c"]);
        assert!(cut_at(" \n\t ", 9).is_empty());
    }

    #[test]
    fn sentences_end_where_a_reader_sees_them_end() {
        assert_eq!(
            cut_at("It rains. (Really?) \"Yes!\" he said... Well, good.", 4),
            ["It rains.", "(Really?)", "\"Yes!\" he said...", "Well, good."]
        );
        assert_eq!(
            cut_at("Dr. J. Doe paid 3.50 at approx. five p.m. today. He left.", 12),
            ["Dr. J. Doe paid 3.50 at approx. five p.m. today. He left."]
        );
        assert_eq!(
            cut_at("Dr. J. Doe paid 3.50 at approx. five p.m. today. He left.", 10),
            ["Dr. J. Doe paid 3.50 at approx. five p.m. today.", "He left."]
        );
        assert_eq!(cut_at("你好。世界很大。 再见！", 1), ["你好。", "世界很大。", "再见！"]);
    }

    #[test]
    fn a_sentence_that_is_too_long_is_cut_at_a_comma_else_between_words_else_anywhere() {
        assert_eq!(cut_at("one two three, four five six seven", 4), ["one two three,", "four five six seven"]);
        assert_eq!(cut_at("one two three four five six", 4), ["one two three four", "five six"]);
        let endless = "é".repeat(100);
        assert_eq!(cut_at(&endless, 1).concat(), endless);
    }

    #[test]
    fn nothing_is_lost_but_the_ends() {
        let text = "  First one.  Second,\tone!\n\nThird is a very long one, which has to be cut, somewhere, at last. \u{3000}Fourth\n";
        for limit in 1..12 {
            let pieces = cut(text, &words(limit), &words(limit));
            let again: String = pieces.iter().flat_map(|piece| [piece.text, piece.between]).collect();
            assert_eq!(again, text.trim(), "{limit}");
            assert!(pieces.iter().all(|piece| !piece.text.trim().is_empty() && words(limit)(piece.text)), "{pieces:?}");
        }
    }
}
