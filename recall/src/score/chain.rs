//! Supersession: of memories that superseded each other the newest comes first, with the best match that any of them has, and the
//! others step behind it.

use std::collections::BTreeMap;

use crate::facts::Facts;
use crate::score::field::Side;

/// What a superseded memory keeps of the score of the one that superseded it, at most.
const BEHIND: f64 = 0.999;
/// The longest way to the newest that is walked; whatever is in a circle is left as it is.
const MAX_CHAIN: usize = 64;

/// The scores of one partition's documents that change because something superseded them, or they superseded something. What
/// the filter does not take supersedes nothing: it is not shown. What did not match at all gains and loses nothing, unless it is the
/// newest.
pub(crate) fn settle(
    side: &Side<'_>,
    scores: &[f64],
    taken: impl Fn(&Facts) -> bool,
) -> BTreeMap<u32, f64> {
    let score = |place: u32| scores[place as usize];
    let mut chains = Vec::new();
    let mut settled: BTreeMap<u32, f64> = BTreeMap::new();
    for place in side.view.superseded.iter().copied() {
        if score(place) <= 0.0 || !taken(side.facts(place)) {
            continue;
        }
        let chain = way(side, place, &taken);
        let Some(newest) = chain.last().filter(|_| chain.len() > 1) else {
            continue;
        };
        let best = settled.entry(*newest).or_insert_with(|| score(*newest));
        *best = best.max(score(place));
        chains.push(chain);
    }
    for chain in chains {
        let mut bound = f64::INFINITY;
        for place in chain.into_iter().rev() {
            let own = *settled
                .entry(place)
                .or_insert_with(|| score(place).min(bound));
            if own > 0.0 {
                bound = own * BEHIND;
            }
        }
    }
    settled
}

/// From a document to the newest that superseded it; nothing where that leads in a circle.
fn way(side: &Side<'_>, place: u32, taken: impl Fn(&Facts) -> bool) -> Vec<u32> {
    let mut way = vec![place];
    let mut at = place;
    while let Some(successor) = side
        .facts(at)
        .successor
        .and_then(|number| shown(side, number))
    {
        if !taken(side.facts(successor)) {
            break;
        }
        if way.len() == MAX_CHAIN || way.contains(&successor) {
            return Vec::new();
        }
        way.push(successor);
        at = successor;
    }
    way
}

/// The place of a document, or of the version of the same memory that counts instead of it.
fn shown(side: &Side<'_>, mut number: u32) -> Option<u32> {
    loop {
        if let Some(place) = side.view.place(number) {
            return Some(place);
        }
        // Numbers rise from version to version, so this ends.
        let newer = side.held.facts(number)?.newer?;
        number = (newer > number).then_some(newer)?;
    }
}
