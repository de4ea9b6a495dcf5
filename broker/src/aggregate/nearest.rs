//! Known names that resemble an unknown one, for refusals that help. Pure.

use std::fmt::Write as _;

/// Names that one refusal compares: enough to be useful, few enough to cost no more than milliseconds.
const COMPARED: usize = 2_000;
/// Names that one refusal shows.
const SHOWN: usize = 3;

/// Up to three of `known` that lie nearest to `name`; those with its first letter are looked at first.
pub(crate) fn nearest<'a>(
    name: &str,
    known: impl Iterator<Item = &'a str> + Clone,
) -> Vec<&'a str> {
    let first = name.chars().next();
    let (same, other) = (known.clone(), known);
    let mut ranked: Vec<(usize, &str)> = same
        .filter(|known| known.chars().next() == first)
        .chain(other.filter(|known| known.chars().next() != first))
        .take(COMPARED)
        .map(|known| (strsim::osa_distance(name, known), known))
        .collect();
    ranked.sort_unstable();
    ranked.truncate(SHOWN);
    ranked.into_iter().map(|(_, known)| known).collect()
}

/// `; the nearest are a, b`, or nothing when none is known.
pub(crate) fn hint(nearest: &[&str]) -> String {
    let mut text = String::new();
    if !nearest.is_empty() {
        // Writing to a string cannot fail.
        let _ = write!(text, "; the nearest are {}", nearest.join(", "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_the_name_that_was_meant() {
        let known = ["alice", "bob", "phi", "tau", "tau-server"];
        assert_eq!(nearest("tua", known.into_iter())[0], "tau");
        assert_eq!(nearest("alise", known.into_iter())[0], "alice");
        assert_eq!(nearest("xyz", known.into_iter()).len(), 3);
        assert!(nearest("tau", [].into_iter()).is_empty());
        assert_eq!(hint(&[]), "");
        assert_eq!(hint(&["a", "b"]), "; the nearest are a, b");
    }
}
