//! Getting a batch ready on a thread of its own while the rows of its beginning are written already: to
//! open a seal and to write rows each hold a core. Owns the order and how far the one may be ahead of the
//! other; knows neither events nor rows.

use std::sync::mpsc;

/// Batches below this many items are made ready where they are used: a thread costs more than it gains.
const WORTH_A_THREAD: usize = 256;
/// Items that change hands together.
const HANDFUL: usize = 64;
/// Handfuls that may be ready and not yet used.
const READY: usize = 4;

/// Gives `consume` what `prepare` makes of each of `items`, in their order, up to the first of which it
/// makes nothing. Of a large batch further items are prepared meanwhile, so `prepare` may have seen more
/// of them than `consume` took.
pub fn prepared<'a, T: Sync, P: Send, R>(
    items: &'a [T],
    prepare: impl Fn(&'a T) -> Option<P> + Sync,
    consume: impl FnOnce(&mut dyn Iterator<Item = P>) -> R,
) -> R {
    if items.len() < WORTH_A_THREAD {
        return consume(&mut items.iter().map_while(prepare));
    }
    let (ready, taken) = mpsc::sync_channel::<Vec<P>>(READY);
    let prepare = &prepare;
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for handful in items.chunks(HANDFUL) {
                let prepared: Vec<P> = handful.iter().map_while(prepare).collect();
                let is_whole = prepared.len() == handful.len();
                // Nobody takes any more when what it is for has failed.
                if ready.send(prepared).is_err() || !is_whole {
                    return;
                }
            }
        });
        consume(&mut taken.into_iter().flatten())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Numbers below `end`, as a batch of `count` of them gives them.
    fn taken(count: usize, end: usize) -> Vec<usize> {
        let items: Vec<usize> = (0..count).collect();
        let prepare = |item: &usize| (*item < end).then_some(*item);
        prepared(&items, prepare, |ready| ready.collect())
    }

    #[test]
    fn everything_comes_in_order_however_large_the_batch() {
        for count in [0, 1, WORTH_A_THREAD - 1, WORTH_A_THREAD, 10_000] {
            assert_eq!(taken(count, usize::MAX), (0..count).collect::<Vec<_>>());
        }
    }

    #[test]
    fn nothing_comes_behind_the_first_that_gives_nothing() {
        for count in [10, 10_000] {
            for end in [0, 1, 9, HANDFUL, HANDFUL + 1, 5_000] {
                let expected: Vec<_> = (0..count.min(end)).collect();
                assert_eq!(taken(count, end), expected, "{count} up to {end}");
            }
        }
    }

    #[test]
    fn whoever_stops_taking_stops_the_rest() {
        let items: Vec<usize> = (0..100_000).collect();
        let seen = AtomicUsize::new(0);
        let prepare = |item: &usize| {
            seen.fetch_add(1, Ordering::Relaxed);
            Some(*item)
        };
        let first = prepared(&items, prepare, |ready| ready.take(3).collect::<Vec<_>>());
        assert_eq!(first, [0, 1, 2]);
        let most = HANDFUL * (READY + 3);
        assert!(seen.load(Ordering::Relaxed) <= most);
    }
}
