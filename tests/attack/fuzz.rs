//! Arbitrary bytes, and valid ones that were changed, at every place where bytes of somebody else's
//! enter: nothing panics. The entries are those of cargo-fuzz, in `fuzz/`. `POSTROAD_FUZZ_INPUTS` is how many
//! inputs each entry gets; `make soak` gives a million.

use crate::entries::{TARGETS, Target};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, TestRunner};

/// Inputs of each entry where none are named.
const INPUTS: u32 = 2_000;

/// One change of an input.
#[derive(Clone, Debug)]
enum Change {
    Put(Index, u8),
    Insert(Index, Vec<u8>),
    Remove(Index, Index),
    Repeat(Index, Index),
    Cut(Index),
}

impl Change {
    fn apply(&self, input: &mut Vec<u8>) {
        let range = |from: &Index, to: &Index| {
            let (from, to) = (from.index(input.len() + 1), to.index(input.len() + 1));
            from.min(to)..from.max(to)
        };
        match self {
            Self::Put(place, byte) if !input.is_empty() => {
                let place = place.index(input.len());
                input[place] = *byte;
            }
            Self::Put(..) => {}
            Self::Insert(place, bytes) => {
                let place = place.index(input.len() + 1);
                input.splice(place..place, bytes.iter().copied());
            }
            Self::Remove(from, to) => {
                let range = range(from, to);
                input.drain(range);
            }
            Self::Repeat(from, to) => {
                let part = input[range(from, to)].to_vec();
                input.extend(part);
            }
            Self::Cut(place) => input.truncate(place.index(input.len() + 1)),
        }
    }
}

fn change() -> impl Strategy<Value = Change> {
    let telling: [&[u8]; 16] = [
        b".",
        b"*",
        b">",
        b" ",
        b"\0",
        b"\n",
        b"\r\n",
        b"\xff",
        b"\"",
        b"{",
        b"}",
        b"[",
        b"18446744073709551616",
        b"-1",
        "\u{200b}".as_bytes(),
        "\u{430}".as_bytes(),
    ];
    let telling: Vec<Vec<u8>> = telling.map(<[u8]>::to_vec).to_vec();
    prop_oneof![
        (any::<Index>(), any::<u8>()).prop_map(|(place, byte)| Change::Put(place, byte)),
        (any::<Index>(), select(telling)).prop_map(|(place, bytes)| Change::Insert(place, bytes)),
        (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Change::Remove(from, to)),
        (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Change::Repeat(from, to)),
        any::<Index>().prop_map(Change::Cut),
    ]
}

fn input(seeds: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let changed = (select(seeds), proptest::collection::vec(change(), 0..4));
    prop_oneof![
        1 => proptest::collection::vec(any::<u8>(), 0..200),
        1 => "\\PC{0,80}".prop_map(String::into_bytes),
        4 => changed.prop_map(|(mut seed, changes)| {
            for change in &changes {
                change.apply(&mut seed);
            }
            seed
        }),
    ]
}

fn fuzz(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name);
    let target: &Target = target.expect("there is such an entry");
    let seeds = (target.seeds)();
    for seed in &seeds {
        (target.run)(seed);
    }
    let inputs = std::env::var("POSTROAD_FUZZ_INPUTS");
    let inputs = inputs.map_or(INPUTS, |text| text.parse().expect("a number of inputs"));
    let config = Config {
        failure_persistence: None,
        ..Config::with_cases(inputs)
    };
    let outcome = TestRunner::new(config).run(&input(seeds), |bytes| {
        (target.run)(&bytes);
        Ok(())
    });
    outcome.unwrap_or_else(|failure| panic!("{name}: {failure}"));
    println!("{name}: {inputs} inputs");
}

macro_rules! no_panic {
    ($($name:ident),+ $(,)?) => {
        $(#[test]
        fn $name() {
            fuzz(stringify!($name));
        })+

        #[test]
        fn every_entry_is_fuzzed_and_has_a_target_for_cargo_fuzz() {
            let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
            assert_eq!(names, [$(stringify!($name)),+]);
            for name in names {
                let file = format!("fuzz/fuzz_targets/{name}.rs");
                let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file}: {error}"));
                assert!(text.contains(&format!("postroad_fuzz::{name}(bytes)")), "{file}");
            }
        }
    };
}

no_panic!(
    subjects, ids, envelopes, cursors, creds, contexts, events, commands, queries
);
