//! What text becomes: a table of examples, and promises for any text.

use postroad_recall::analyze::{
    MAX_QUERY_TERMS, MAX_TERM_BYTES, analyze, analyze_query, name_words,
};
use proptest::prelude::*;

/// The terms of a text in byte order, and its length.
fn terms(text: &str) -> (String, u32) {
    let analysis = analyze(text);
    (
        analysis
            .terms
            .keys()
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join(" "),
        analysis.length,
    )
}

#[test]
fn texts_become_the_terms_of_this_table() {
    for (text, expected, length) in [
        ("Migrating the migrations", "migrat the", 2),
        ("ＡＣＭＥ ﬁles", "acm file", 2),
        ("don't panic", "dont panic", 1),
        ("Caroline’s reports", "carolin report", 2),
        ("tenant_id", "id tenant tenantid", 2),
        ("tenantId", "id tenant tenantid", 2),
        ("tenant-id", "id tenant tenantid", 2),
        ("HTTPServer", "http httpserver server", 2),
        ("sha256", "256 sha sha256", 2),
        ("error[E0382]:", "e0382 error", 2),
        ("v1.28.3", "1.28 1.28.3", 1),
        ("0.27", "0.27", 1),
        ("src/main.rs", "main main.rs rs src src/main.rs", 3),
        (r"C:\Temp\notes", "c c:/temp/notes note temp", 3),
        ("tokio::sync::mpsc", "mpsc sync tokio tokio::sync::mpsc", 3),
        ("key:value", "key valu", 2),
        ("naïve Straße", "naïve straße", 2),
        ("日本 語", "日 本 語", 3),
        ("...!? — \u{200b}", "", 0),
    ] {
        assert_eq!(terms(text), (expected.to_owned(), length), "{text}");
    }
}

#[test]
fn what_no_prose_is_written_in_is_a_code() {
    for (query, codes) in [
        (
            "where is parseTenantId of tenant_id used",
            "parsetenantid tenantid",
        ),
        (
            "E0382 in src/main.rs of v1.28.3",
            "1.28.3 e0382 main.rs src/main.rs",
        ),
        ("was REL-12 a long-term release of 2023, mach 2.5?", "rel12"),
        ("how does it work, i.e. in the U.S.", ""),
    ] {
        assert_eq!(analyze_query(query).codes.join(" "), codes, "{query}");
    }
}

#[test]
fn stop_words_are_left_out_of_a_query_unless_it_has_nothing_else() {
    let asked = |query: &str| {
        analyze_query(query)
            .terms
            .into_iter()
            .map(|(term, _)| term)
            .collect::<Vec<_>>()
    };
    assert_eq!(asked("who is on the road"), ["road"]);
    assert_eq!(asked("who is on it?"), ["is", "it", "on", "who"]);
    assert_eq!(asked(" ?! "), [""; 0]);
}

#[test]
fn names_are_words_without_signs() {
    assert_eq!(name_words("hess,t.e."), ["hess", "t", "e"]);
    assert_eq!(
        analyze_query("What did Frontend-Dev's tests say?").words[2..5],
        ["frontend", "dev", "tests"]
    );
}

#[test]
fn the_longest_contents_are_bounded_whatever_they_hold() {
    for unit in [
        "\u{fdfa}",
        "a\u{301}\u{302}",
        "aB",
        "a/",
        "x",
        "中",
        "\u{1f468}\u{200d}",
        "_a1.",
        "\u{0}",
        "::",
        "ß-",
    ] {
        let text = unit.repeat(64 * 1024 / unit.len());
        let analysis = analyze(&text);
        assert!(
            analysis
                .terms
                .keys()
                .all(|term| term.len() <= MAX_TERM_BYTES),
            "{unit:?}"
        );
        assert!(
            analysis.terms.keys().map(String::len).sum::<usize>() < 1 << 20,
            "{unit:?}"
        );
        assert!(
            analyze_query(&text).terms.len() <= MAX_QUERY_TERMS,
            "{unit:?}"
        );
    }
}

proptest! {
    #[test]
    fn any_text_has_terms_that_can_be_keys(text in any::<String>()) {
        let analysis = analyze(&text);
        for (term, count) in &analysis.terms {
            prop_assert!(!term.is_empty() && term.len() <= MAX_TERM_BYTES && !term.contains('\0'));
            prop_assert!(*count > 0);
        }
        prop_assert!(analysis.identifiers <= analysis.length.max(1) * 4);
    }

    #[test]
    fn whatever_a_query_has_is_found_in_a_text_that_says_the_same(text in "[a-zA-Z0-9_./: '-]{1,80}|\\PC{1,40}") {
        let indexed = analyze(&text);
        let query = analyze_query(&text);
        prop_assert_eq!(query.terms.is_empty(), indexed.terms.is_empty());
        for (term, _) in query.terms {
            prop_assert!(indexed.terms.contains_key(&term), "{}", term);
        }
    }
}

#[test]
fn a_query_that_is_shortened_keeps_codes_and_long_words() {
    let mut query = analyze_query("a cat saw the E0382 borrowing of elephants near oaks");
    let all = query.terms.clone();
    query.shorten(all.len());
    assert_eq!(query.terms, all, "it is short enough");
    query.shorten(3);
    let kept: Vec<&str> = query.terms.iter().map(|(term, _)| term.as_str()).collect();
    assert_eq!(kept, ["borrow", "e0382", "eleph"]);
}
