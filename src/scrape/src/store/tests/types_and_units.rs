//! Type and unit of a family as labels of its series: which formats tell them, and what they override.

use prom_testkit::Message;

use super::*;

impl Rig {
    fn labeling(keys: &str, format: Format) -> Self {
        let mut rig = Self { format, ..Self::new(keys) };
        rig.rules.labels_types_and_units = true;
        rig
    }
}

const TYPED: &str = "# TYPE a counter\na{x=\"1\"} 1\n";

#[test]
fn series_get_the_type_of_their_family_and_none_where_it_is_not_known() {
    Rig::labeling("", Format::Text).check(&[
        (
            "# HELP a one\n# TYPE a counter\na{x=\"1\"} 1\n# a remark\na{x=\"2\"} 1\n\
             # TYPE g gauge\ng 1\n# TYPE u untyped\nu 1\n# HELP v silent\nv 1\n",
            &[
                "a{__type__=\"counter\", x=\"1\"} 1",
                "a{__type__=\"counter\", x=\"2\"} 1",
                "g{__type__=\"gauge\"} 1",
                "u 1",
                "v 1",
            ],
        ),
        // New series behind comments that are known, remarks among them.
        (
            "# HELP a one\n# TYPE a counter\na{x=\"1\"} 1\n# a remark\na{x=\"2\"} 1\na{x=\"3\"} 1\n\
             # TYPE g gauge\ng 1\n# TYPE u untyped\nu 1\n# HELP v silent\nv 1\n",
            &[
                "a{__type__=\"counter\", x=\"1\"} 1",
                "a{__type__=\"counter\", x=\"2\"} 1",
                "a{__type__=\"counter\", x=\"3\"} 1",
                "g{__type__=\"gauge\"} 1",
                "u 1",
                "v 1",
            ],
        ),
    ]);
    Rig::labeling("", Format::Text).check(&[(
        "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_sum 1\n# TYPE s summary\ns{quantile=\"1\"} 1\n",
        &[
            "h_bucket{__type__=\"histogram\", le=\"1.0\"} 1",
            "h_sum{__type__=\"histogram\"} 1",
            "s{__type__=\"summary\", quantile=\"1.0\"} 1",
        ],
    )]);
}

#[test]
fn openmetrics_tells_units_which_end_with_their_family() {
    Rig::labeling("", Format::OpenMetrics).check(&[(
        "# TYPE a_seconds counter\n# UNIT a_seconds seconds\na_seconds_total 1\n\
         # TYPE b gauge\nb 1\n# TYPE c info\nc_info 1\n# TYPE d stateset\nd{d=\"x\"} 1\n\
         # TYPE e gaugehistogram\ne_gsum 1\n# TYPE f unknown\nf 1\n\
         # TYPE a counter\n# UNIT x_seconds seconds\n# HELP a x\na_total 1\n# EOF\n",
        &[
            "a_seconds_total{__type__=\"counter\", __unit__=\"seconds\"} 1",
            "a_total{__type__=\"counter\"} 1",
            "b{__type__=\"gauge\"} 1",
            "c_info{__type__=\"info\"} 1",
            "d{__type__=\"stateset\", d=\"x\"} 1",
            "e_gsum{__type__=\"gaugehistogram\"} 1",
            "f 1",
        ],
    )]);
}

#[test]
fn what_a_target_claims_in_these_labels_counts_only_where_its_comments_are_silent() {
    let claims = "a{__type__=\"x\", __unit__=\"y\"} 1\n";
    Rig::labeling("", Format::Text).check(&[(claims, &["a{__type__=\"x\", __unit__=\"y\"} 1"])]);
    Rig::labeling("honor_labels: true", Format::Text).check(&[(
        &format!("# TYPE a gauge\n{claims}"),
        &["a{__type__=\"gauge\", __unit__=\"y\"} 1"],
    )]);
    // Without the feature these labels are like others.
    Rig::new("")
        .check(&[(&format!("# TYPE a gauge\n{claims}"), &["a{__type__=\"x\", __unit__=\"y\"} 1"])]);
    Rig::new("").check(&[(TYPED, &["a{x=\"1\"} 1"])]);
}

#[test]
fn relabelling_and_limits_see_these_labels() {
    let keep = "metric_relabel_configs: [{source_labels: [__type__], regex: gauge, action: keep}, {source_labels: [__type__], target_label: kind}, {regex: __type__, action: labeldrop}]";
    Rig::labeling(keep, Format::Text)
        .check(&[(&format!("{TYPED}# TYPE g gauge\ng 1\n"), &["g{kind=\"gauge\"} 1"])]);
    let mut rig = Rig::labeling("label_limit: 4", Format::Text);
    let refused = rig.scrape(TYPED).refused.unwrap().to_string();
    assert!(refused.contains("number of labels: 5, limit: 4"), "{refused}");
}

#[test]
fn converted_histograms_and_families_of_protobuf_are_labeled_alike() {
    let keys = "convert_classic_histograms_to_nhcb: true";
    let mut rig = Rig::labeling(keys, Format::Text);
    rig.scrape("# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n");
    let histograms = rig.store.take_histograms();
    let name = |labels: &Labels, name| labels.get(name).map(str::to_owned);
    let of_histogram: Vec<_> = histograms
        .iter()
        .map(|(labels, ..)| (labels.metric_name(), name(labels, "__type__")))
        .collect();
    assert_eq!(of_histogram, [("h", Some("histogram".to_owned()))]);

    let body = |kind: u64, unit: &str| {
        let metric = Message::new().message(3, &Message::new().double(1, 1.0));
        let metric = metric.message(2, &Message::new().double(1, 1.0));
        let family = Message::new().text(1, "a").integer(3, kind).text(5, unit);
        family.message(4, &metric).delimited()
    };
    // A family that turns into another one has other series.
    let mut rig = Rig::labeling("", Format::Protobuf);
    for (kind, unit, expected) in [
        (0, "", &["a{__type__=\"counter\"} 1"][..]),
        (
            0,
            "bytes",
            &["a{__type__=\"counter\", __unit__=\"bytes\"} 1", "a{__type__=\"counter\"} stale"],
        ),
        (
            1,
            "bytes",
            &[
                "a{__type__=\"counter\", __unit__=\"bytes\"} stale",
                "a{__type__=\"gauge\", __unit__=\"bytes\"} 1",
            ],
        ),
        (1, "bytes", &["a{__type__=\"gauge\", __unit__=\"bytes\"} 1"]),
    ] {
        assert!(rig.scrape_bytes(&body(kind, unit)).refused.is_none());
        assert_eq!(rig.added(), expected, "{kind} {unit}");
    }
}
