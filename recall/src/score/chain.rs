//! Supersession: of memories that superseded each other the newest comes first, with the best match that any of them has, and the
//! others step behind it.

use std::collections::{BTreeMap, HashMap};

use crate::facts::Facts;
use crate::score::field::Side;

/// What a superseded memory keeps of the score of the one that superseded it, at most.
const BEHIND: f64 = 0.999;

/// A document on the way to the newest.
struct Step {
    /// Which of the steps superseded it; none of the newest.
    next: Option<usize>,
    place: u32,
    /// How many of the steps lead to this one and were not passed yet.
    open: usize,
}

/// The scores of one partition's documents that change because something superseded them, or they superseded something. What
/// the filter does not take supersedes nothing: it is not shown. What did not match at all gains and loses nothing, unless it is the
/// newest. Whatever is in a circle, or leads into one, is left as it is.
pub(crate) fn settle(
    side: &Side<'_>,
    scores: &[f64],
    taken: impl Fn(&Facts) -> bool,
) -> BTreeMap<u32, f64> {
    let mut steps = steps(side, scores, taken);
    let own = |step: &Step| scores[step.place as usize];
    // From the oldest: each hands on the best match up to there.
    let mut best: Vec<f64> = steps.iter().map(own).collect();
    let mut order: Vec<usize> = (0..steps.len()).filter(|at| steps[*at].open == 0).collect();
    let mut passed = 0;
    while let Some(at) = order.get(passed).copied() {
        passed += 1;
        if let Some(next) = steps[at].next {
            best[next] = best[next].max(best[at]);
            steps[next].open -= 1;
            if steps[next].open == 0 {
                order.push(next);
            }
        }
    }
    // From the newest: each steps behind the one that superseded it. Of those in a circle none comes before another.
    let mut bounds: Vec<Option<f64>> = vec![None; steps.len()];
    let mut settled = BTreeMap::new();
    for at in order.into_iter().rev() {
        let (score, bound) = match steps[at].next.map(|next| bounds[next]) {
            None => (best[at], f64::INFINITY),
            Some(Some(bound)) => (own(&steps[at]).min(bound), bound),
            Some(None) => continue,
        };
        bounds[at] = Some(if score > 0.0 { score * BEHIND } else { bound });
        settled.insert(steps[at].place, score);
    }
    settled
}

/// The documents that matched and something superseded, and those on their ways to the newest, each once.
fn steps(side: &Side<'_>, scores: &[f64], taken: impl Fn(&Facts) -> bool) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut known: HashMap<u32, usize> = HashMap::new();
    for first in side.view.superseded.iter().copied() {
        if scores[first as usize] <= 0.0 || !taken(side.facts(first)) {
            continue;
        }
        let (mut from, mut place) = (None, Some(first));
        while let Some(at) = place {
            let (step, is_known) = match known.get(&at) {
                Some(step) => (*step, true),
                None => (steps.len(), false),
            };
            if !is_known {
                known.insert(at, step);
                steps.push(Step {
                    next: None,
                    place: at,
                    open: 0,
                });
            }
            if let Some(from) = from.replace(step) {
                steps[from].next = Some(step);
                steps[step].open += 1;
            }
            if is_known {
                break;
            }
            let successor = side.facts(at).successor;
            place = successor
                .and_then(|number| shown(side, number))
                .filter(|place| taken(side.facts(*place)));
        }
    }
    steps
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
