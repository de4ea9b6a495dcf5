//! A figure: what was measured, the ceiling measured beside it in the same run, and what it must
//! reach. Owns that judgement; never measures.

use serde::Serialize;

/// What a figure must reach.
#[derive(Clone, Debug)]
pub(crate) enum Must {
    /// So many times its ceiling, or more.
    CeilingTimes(f64),
    /// Within this share of its ceiling, above it or below.
    NearCeiling(f64),
    /// No more than this, in its own unit.
    AtMost(f64),
    /// No more than so many times another figure.
    WithinTimes {
        /// How many times.
        times: f64,
        /// The other figure's value.
        other: f64,
        /// The other figure's name.
        name: String,
    },
}

/// One line of the summary.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figure {
    /// What was measured.
    #[serde(rename = "figure")]
    pub(crate) name: String,
    /// The median or percentile of all rounds.
    pub(crate) value: f64,
    /// In what.
    pub(crate) unit: &'static str,
    /// The same without Postroad, in the same run.
    pub(crate) ceiling: Option<f64>,
    /// Value by ceiling.
    pub(crate) ratio: Option<f64>,
    /// What it must reach, in words.
    pub(crate) must: Option<String>,
    /// Whether it does.
    pub(crate) met: Option<bool>,
}

impl Figure {
    /// A figure without a ceiling.
    pub(crate) fn new(name: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self {
            name: name.into(),
            value: rounded(value),
            unit,
            ceiling: None,
            ratio: None,
            must: None,
            met: None,
        }
    }

    /// Beside what was measured without Postroad.
    pub(crate) fn beside(mut self, ceiling: f64) -> Self {
        let ceiling = rounded(ceiling);
        self.ceiling = Some(ceiling);
        self.ratio = (ceiling > 0.0).then(|| rounded(self.value / ceiling));
        self
    }

    /// With what it must reach.
    pub(crate) fn must(mut self, must: &Must) -> Self {
        let (words, met) = match must {
            Must::CeilingTimes(times) => (
                format!(">= {times} x ceiling"),
                // Nothing to compare with is not good enough.
                self.ceiling
                    .is_some_and(|ceiling| self.value >= times * ceiling),
            ),
            Must::NearCeiling(share) => (
                format!("within {} % of ceiling", rounded(share * 100.0)),
                self.ceiling
                    .is_some_and(|ceiling| (self.value - ceiling).abs() <= share * ceiling),
            ),
            Must::AtMost(bound) => (format!("<= {bound} {}", self.unit), self.value <= *bound),
            Must::WithinTimes { times, other, name } => (
                format!("<= {times} x {name}"),
                self.value <= times * rounded(*other),
            ),
        };
        self.must = Some(words);
        self.met = Some(met);
        self
    }

    /// Whether it must reach something and does not.
    pub(crate) fn is_missed(&self) -> bool {
        self.met == Some(false)
    }
}

/// Four significant digits, which is more than a noisy machine can repeat.
fn rounded(value: f64) -> f64 {
    format!("{value:.3e}").parse().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_met_by_its_own_numbers() {
        let figure = |value| Figure::new("sends", value, "1/s").beside(1000.0);
        let must = Must::CeilingTimes(3.0);
        assert!(!figure(3000.0).must(&must).is_missed());
        assert!(figure(2999.0).must(&must).is_missed());
        let alone = Figure::new("sends", 5.0, "1/s").must(&must);
        assert!(alone.is_missed());
        let alike = |value| Figure::new("foreign", value, "ms").beside(2.0);
        let near = Must::NearCeiling(0.1);
        for (value, is_missed) in [(1.79, true), (1.81, false), (2.19, false), (2.21, true)] {
            assert_eq!(alike(value).must(&near).is_missed(), is_missed, "{value}");
        }
        assert!(Figure::new("foreign", 2.0, "ms").must(&near).is_missed());
        let words = alike(2.0).must(&near).must;
        assert_eq!(words.as_deref(), Some("within 10 % of ceiling"));
        let start = Figure::new("start", 2001.0, "ms").must(&Must::AtMost(2000.0));
        assert_eq!(start.must.as_deref(), Some("<= 2000 ms"));
        assert!(start.is_missed());
        let times = Must::WithinTimes {
            times: 2.0,
            other: 1.5,
            name: "check p50".to_owned(),
        };
        assert!(!Figure::new("many", 3.0, "ms").must(&times).is_missed());
    }

    #[test]
    fn the_summary_has_the_fields_that_others_read() {
        let figure = Figure::new("sends/s", 123.456_7, "1/s").beside(10.0);
        let json = serde_json::to_value(figure).unwrap();
        let expected = serde_json::json!({
            "figure": "sends/s", "value": 123.5, "unit": "1/s", "ceiling": 10.0, "ratio": 12.35,
            "must": null, "met": null
        });
        assert_eq!(json, expected);
    }
}
