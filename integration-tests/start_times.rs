//! Times since when series count: told by targets or made up, stored, and known to queries.

use crate::harness::{ServerBuilder, Target, eventually};

#[test]
fn counters_count_from_their_first_sample_where_their_start_is_made_up() {
    let target = Target::serving(|index| {
        let value = 1_000 + index;
        format!("# TYPE x counter\nx {value}\n# TYPE g gauge\ng {value}\n")
    });
    let config = format!(
        "global: {{scrape_interval: 100ms, scrape_timeout: 100ms}}\n\
         scrape_configs: [{{job_name: a, static_configs: [{{targets: [\"{}\"]}}]}}]\n",
        target.address()
    );
    let mut server = ServerBuilder::new(&config).arg("--enable-feature=st-synthesis").start();
    for _ in 0..2 {
        let count = server.value("count_over_time(x[1h])").unwrap_or_default();
        eventually("more samples", || {
            server.value("count_over_time(x[1h])").filter(|now| *now >= count + 3.0)
        });
        let least = server.value("min_over_time(x[1h])").unwrap();
        let most = server.value("max_over_time(x[1h])").unwrap();
        assert!(least >= 1.0 && most < 1_000.0, "{least} {most}");
        assert!(server.value("min_over_time(g[1h])").unwrap() >= 1_000.0);
        // The point of reference is of this run, and so is the next.
        server.kill();
        server.restart();
    }
}
