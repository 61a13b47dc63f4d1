//! Prometheus' text format, read back.

use std::collections::BTreeMap;

/// One sample of a family: `_bucket`, `_sum` and `_count` are samples of their histogram.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub value: f64,
}

#[derive(Debug, Clone, Default)]
pub struct Family {
    /// `counter`, `gauge` or `histogram`.
    pub kind: String,
    pub help: String,
    pub samples: Vec<Sample>,
}

impl Family {
    /// What a counter counted or a histogram observed, over all labels.
    pub fn total(&self) -> f64 {
        let counted = |sample: &&Sample| {
            self.kind == "counter" || (self.kind == "histogram" && sample.name.ends_with("_count"))
        };
        self.samples
            .iter()
            .filter(counted)
            .map(|sample| sample.value)
            .sum()
    }

    /// The names of the labels, but for the bucket's.
    pub fn labels(&self) -> Vec<&str> {
        let first = self.samples.first().map(|sample| &sample.labels);
        let names = first
            .into_iter()
            .flat_map(BTreeMap::keys)
            .map(String::as_str);
        names.filter(|name| *name != "le").collect()
    }
}

/// Every family of one scrape.
#[derive(Debug)]
pub struct Exposition(pub BTreeMap<String, Family>);

impl Exposition {
    /// # Panics
    /// Where a line is none of the format, or a sample stands outside its family.
    pub fn parse(text: &str) -> Exposition {
        let mut families: BTreeMap<String, Family> = BTreeMap::new();
        let mut current = String::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').unwrap();
                families.entry(name.to_owned()).or_default().help = help.to_owned();
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                families.entry(name.to_owned()).or_default().kind = kind.to_owned();
                current = name.to_owned();
            } else {
                let sample = sample(line);
                assert!(sample.name.starts_with(&current), "{line} in {current}");
                families.get_mut(&current).unwrap().samples.push(sample);
            }
        }
        Exposition(families)
    }

    /// The value of the series with this label; none where there is none.
    pub fn gauge(&self, name: &str, (label, value): (&str, &str)) -> Option<f64> {
        let samples = &self.0.get(name)?.samples;
        let mut samples = samples.iter();
        let found = samples.find(|sample| sample.labels.get(label).is_some_and(|it| it == value));
        found.map(|sample| sample.value)
    }

    /// What a family counted; 0 where it is not there.
    pub fn total(&self, name: &str) -> f64 {
        self.0.get(name).map_or(0.0, Family::total)
    }
}

fn sample(line: &str) -> Sample {
    let (series, value) = line.rsplit_once(' ').unwrap();
    let (name, labels) = match series.split_once('{') {
        None => (series, ""),
        Some((name, rest)) => (name, rest.strip_suffix('}').unwrap()),
    };
    // No label of ours holds a comma or a quote: values come from closed sets.
    let labels = labels.split(',').filter(|label| !label.is_empty());
    Sample {
        name: name.to_owned(),
        labels: labels
            .map(|label| {
                let (name, value) = label.split_once('=').unwrap();
                (name.to_owned(), value.trim_matches('"').to_owned())
            })
            .collect(),
        value: value.parse().unwrap(),
    }
}
