//! What goes on the log of what targets say of their metrics: for new series, and where it has changed.

use prom_testkit::Message;

use super::*;

impl Rig {
    fn logging(keys: &str, format: Format) -> Self {
        let mut rig = Self { format, ..Self::new(keys) };
        rig.rules.logs_metadata = true;
        rig
    }

    /// What the last scrape has logged of the target's own series.
    fn logged(&self) -> Vec<String> {
        let all = self.store.take_metadata().into_iter();
        let own = all.filter(|(labels, _)| {
            let name = labels.metric_name();
            name != "up" && !name.starts_with("scrape_")
        });
        own.map(|(labels, said)| {
            let x = labels.get("x").map(|x| format!("{{{x}}}")).unwrap_or_default();
            let (name, kind) = (labels.metric_name(), said.metric_type.as_str());
            format!("{name}{x} {kind}/{}/{}", said.unit, said.help)
        })
        .collect()
    }

    fn check_logged(&mut self, rounds: &[(&str, &[&str])]) {
        for (body, expected) in rounds {
            let stored = self.scrape(body);
            assert!(stored.refused.is_none() && stored.failed.is_none(), "{body}: {stored:?}");
            assert_eq!(self.logged(), *expected, "{body:?}");
        }
    }
}

const A: &str = "# HELP a one\n# TYPE a counter\na{x=\"1\"} 1\n";
const B: &str = "# TYPE b gauge\nb 1\n";

#[test]
fn new_series_and_changed_families_are_logged() {
    let more = format!("{A}a{{x=\"2\"}} 1\n{B}");
    let other = more.replace("one", "two");
    let moved = format!("{B}{}", other.replace(B, ""));
    Rig::logging("", Format::Text).check_logged(&[
        (&format!("{A}{B}"), &["a{1} counter//one", "b gauge//"]),
        (&format!("{A}{B}"), &[]),
        (&more, &["a{2} counter//one"]),
        (&other, &["a{1} counter//two", "a{2} counter//two"]),
        (&other, &[]),
        // In another order, nothing new is said.
        (&moved, &[]),
        // What comes behind known comments belongs to the same statement.
        ("# TYPE c gauge\nc 1\n", &["c gauge//"]),
        ("# TYPE c gauge\n# HELP c help\nc 1\n", &["c gauge//help"]),
        ("# TYPE c gauge\n# HELP c help\nc 1\n", &[]),
    ]);
}

#[test]
fn comments_are_of_their_family_only() {
    Rig::logging("", Format::Text).check_logged(&[(
        "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\nh_other 1\nx 1\n\
         # HELP y not of a\na 1\n",
        &["h_bucket histogram//", "h_sum histogram//", "h_count histogram//"],
    )]);
    let renamed = "metric_relabel_configs: [{target_label: __name__, replacement: z}]";
    Rig::logging(renamed, Format::Text).check_logged(&[(A, &[])]);
    Rig::logging("", Format::OpenMetrics).check_logged(&[(
        "# TYPE s_seconds counter\n# UNIT s_seconds seconds\n# HELP s_seconds h\\n\ns_seconds_total 1\n# EOF\n",
        &["s_seconds_total counter/seconds/h\n"],
    )]);
}

#[test]
fn converted_histograms_are_logged_as_their_family() {
    let keys = "convert_classic_histograms_to_nhcb: true";
    let body = |help: &str| {
        format!(
            "# HELP h {help}\n# TYPE h histogram\nh_bucket{{le=\"+Inf\"}} 1\nh_sum 1\nh_count 1\n"
        )
    };
    Rig::logging(keys, Format::Text).check_logged(&[
        (&body("one"), &["h histogram//one"]),
        (&body("one"), &[]),
        (&body("two"), &["h histogram//two"]),
    ]);
}

#[test]
fn families_of_protobuf_are_logged_alike() {
    let body = |help: &str, values: &[&str]| {
        let family = Message::new().text(1, "a").text(2, help).integer(3, 0);
        let metric =
            |x: &&str| Message::new().label(1, "x", x).message(3, &Message::new().double(1, 1.0));
        let all = values.iter().map(metric);
        all.fold(family, |family, metric| family.message(4, &metric)).delimited()
    };
    let mut rig = Rig::logging("", Format::Protobuf);
    for (help, values, expected) in [
        ("one", &["1"][..], &["a{1} counter//one"][..]),
        ("one", &["1", "2"], &["a{2} counter//one"]),
        ("two", &["1", "2"], &["a{1} counter//two", "a{2} counter//two"]),
        ("two", &["1", "2"], &[]),
    ] {
        let stored = rig.scrape_bytes(&body(help, values));
        assert!(stored.refused.is_none(), "{stored:?}");
        assert_eq!(rig.logged(), expected, "{help} {values:?}");
    }
}

#[test]
fn reports_are_logged_once_and_nothing_where_it_is_not_wanted() {
    let mut rig = Rig::logging("", Format::Text);
    rig.scrape("");
    let logged = rig.store.take_metadata();
    assert_eq!(logged.len(), 5);
    assert!(logged.iter().all(|(_, said)| !said.help.is_empty() && !said.unit.is_empty()));
    rig.scrape("");
    assert_eq!(rig.store.take_metadata(), []);
    let mut rig = Rig::new("");
    rig.scrape(A);
    rig.scrape(&A.replace("one", "two"));
    assert_eq!(rig.store.take_metadata(), []);
}
