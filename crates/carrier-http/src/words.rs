//! Words by which carriers say how a command stands. They differ by operator and are published in part, so accounts name
//! them. Letters alone count, in any case.

use crate::lenient::fold;

/// What a status says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Not ended.
    Pending,
    /// Done.
    Done,
    /// Surely not done.
    Failed,
    /// A word that nobody named.
    Unrecognised,
}

/// What `status` says, by the words of three lists.
pub fn verdict(status: &str, done: &[String], failed: &[String], pending: &[impl AsRef<str>]) -> Verdict {
    let word = fold(status);
    let among = |words: &[String]| words.iter().any(|known| fold(known) == word);
    if among(done) {
        Verdict::Done
    } else if among(failed) {
        Verdict::Failed
    } else if pending.iter().any(|known| fold(known.as_ref()) == word) {
        Verdict::Pending
    } else {
        Verdict::Unrecognised
    }
}

/// Whether `words` is a list of words of which none is in another list.
pub fn is_distinct(words: &[String], others: &[String], pending: &[impl AsRef<str>]) -> bool {
    let distinct = |word: &String| {
        let word = fold(word);
        let elsewhere = others.iter().any(|other| fold(other) == word)
            || pending.iter().any(|other| fold(other.as_ref()) == word);
        !word.is_empty() && !elsewhere
    };
    !words.is_empty() && words.iter().all(distinct)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn letters_count_in_any_case() {
        let (done, failed) = (list(&["All well"]), list(&["KO"]));
        let verdict = |word: &str| verdict(word, &done, &failed, &["in progress"]);
        assert_eq!(verdict("ALL_WELL"), Verdict::Done);
        assert_eq!(verdict("ko"), Verdict::Failed);
        assert_eq!(verdict("InProgress"), Verdict::Pending);
        for word in ["", "all", "well done", "200"] {
            assert_eq!(verdict(word), Verdict::Unrecognised, "{word}");
        }
    }

    #[test]
    fn a_word_says_one_thing() {
        let distinct = |words: &[&str]| is_distinct(&list(words), &list(&["KO"]), &["pending"]);
        assert!(distinct(&["OK", "Done"]));
        for bad in [&[][..], &["200"], &["k.o."], &["Pending"]] {
            assert!(!distinct(bad), "{bad:?}");
        }
    }
}
