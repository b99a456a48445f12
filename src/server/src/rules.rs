//! Rules as far as this build goes: their expressions are checked whenever a configuration is loaded, they
//! are counted and watched, and none is evaluated. What a rule is, only `config` knows.

use prom_config::Config;

use crate::prometheus::Prometheus;

impl Prometheus {
    /// What is wrong with an expression of a rule.
    pub(crate) fn expression_check(&self) -> impl Fn(&str) -> Result<(), String> {
        let options = self.parse_options();
        move |text| prom_promql::parse(text, &options).map(drop).map_err(|err| err.to_string())
    }
}

/// What a status line adds where there are rules.
pub(crate) fn rule_facts(config: &Config) -> String {
    match config.rule_count() {
        0 => String::new(),
        count => format!("; {count} rules loaded, none evaluated"),
    }
}
