#!/bin/bash
# A reload by command and by edit, with good and with bad files.
. "$(dirname "$0")/lib.sh"
install_server
config=/etc/prometheus/prometheus.yml

write_config() { # write_config JOB [EXTRA LINE]
    cat >$config <<YAML
global:
  scrape_interval: 1s
scrape_configs:
  - job_name: $1
    static_configs:
      - targets: ["localhost:9090"]
${2:-}
YAML
}
job() { curl -s http://127.0.0.1:9090/api/v1/targets | grep -o '"scrapePool":"[a-z]*"' | sort -u | tr -d '\n'; }
runs() { [ "$(job)" = "\"scrapePool\":\"$1\"" ]; }
scraped() { curl -s http://127.0.0.1:9090/api/v1/query -d "query=up{job=\"$1\"}==1" | grep -q '"value"'; }
milliseconds() { date +%s%3N; }

write_config first
systemctl start prometheus.service
echo "start: $?"

write_config second
systemctl reload prometheus.service
echo "good.reload: $?"
runs second
echo "good.runs: $?"
wait_for 10 scraped second
echo "good.scraped: $?"

write_config third "unknown_key: 1"
systemctl reload prometheus.service 2>/dev/null
echo "bad.reload: $?"
runs second
echo "bad.runs: $?"
echo "bad.StatusText: $(property StatusText)"
echo "bad.active: $(property ActiveState)"
echo "bad.ready: $(ready_code)"
echo "bad.journal: $(journalctl -u prometheus.service -o cat 2>/dev/null | grep -c unknown_key)"

begin=$(milliseconds)
write_config fourth
wait_for 5 runs fourth
echo "edit.milliseconds: $(($(milliseconds) - begin))"

begin=$(milliseconds)
write_config fifth "another_key: 1"
wait_for 5 sh -c 'systemctl show prometheus.service -p StatusText | grep -q another_key'
echo "badedit.milliseconds: $(($(milliseconds) - begin))"
runs fourth
echo "badedit.runs: $?"
echo "badedit.metric: $(curl -s http://127.0.0.1:9090/metrics | grep '^prometheus_config_last_reload_successful ')"

write_config sixth
wait_for 5 runs sixth
echo "mended.runs: $?"
echo "mended.StatusText: $(property StatusText)"
systemctl stop prometheus.service
echo "stop: $?"
echo "stop.Result: $(property Result)"
