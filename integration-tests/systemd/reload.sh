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
scraped() { curl -s http://127.0.0.1:9090/api/v1/query -d "query=up{job=\"$1\"}==1" | grep -q '"value"'; }

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

# Every way in which editors and tools replace a file, each within its time.
file_with() { sed "s/job_name: .*/job_name: $1/" $config; }
by_mv() { file_with "$1" >$config.new && mv $config.new $config; }
by_symlink() { # as Kubernetes does it: the file leads through a link that is swapped
    mkdir -p "/etc/prometheus/data_$1"
    file_with "$1" >"/etc/prometheus/data_$1/prometheus.yml"
    ln -sfn "data_$1" /etc/prometheus/..data_new
    mv -T /etc/prometheus/..data_new /etc/prometheus/..data
    [ -L $config ] || ln -sf ..data/prometheus.yml $config
}
by_truncation() { # opens, truncates, writes late and in two pieces
    local text
    text=$(file_with "$1")
    {
        sleep 0.3
        printf '%s' "${text:0:40}"
        sleep 0.3
        printf '%s\n' "${text:40}"
    } >$config
}
edit_by sed seda sed -i 's/job_name: .*/job_name: seda/' $config
edit_by mv mvb by_mv mvb
edit_by symlink linkc by_symlink linkc
edit_by symlinkswap linkd by_symlink linkd
edit_by truncation trunce by_truncation trunce
echo "edits.rejected: $(curl -s http://127.0.0.1:9090/api/v1/status/config/generations | grep -o '"rejectedAt"' | wc -l)"
rm $config
write_config fourth
wait_for 5 runs fourth

begin=$(milliseconds)
write_config fifth "another_key: 1"
wait_for 5 sh -c 'systemctl show prometheus.service -p StatusText | grep -q another_key'
echo "badedit.milliseconds: $(($(milliseconds) - begin))"
runs fourth
echo "badedit.runs: $?"
echo "badedit.metric: $(curl -s http://127.0.0.1:9090/metrics | grep '^prometheus_config_last_reload_successful ')"

echo "badedit.page: $(curl -s http://127.0.0.1:9090/config | grep -c another_key)"
echo "badedit.active: $(property ActiveState)"
echo "badedit.ready: $(ready_code)"

promtool service generations >/tmp/generations
echo "generations.listed: $?"
echo "generations.running: $(grep -c '^\*' /tmp/generations)"
number=$(sed -n 's/^ *\([0-9]*\) .*/\1/p' /tmp/generations | tail -1)
promtool service rollback "$number"
echo "rollback.code: $?"
runs first
echo "rollback.runs: $?"
echo "rollback.StatusText: $(property StatusText)"
promtool service rollback 99999 2>/tmp/refused
echo "rollback.absent: $?"
echo "rollback.reason: $(cat /tmp/refused)"

write_config sixth
wait_for 5 runs sixth
echo "mended.runs: $?"
echo "mended.StatusText: $(property StatusText)"
systemctl stop prometheus.service
echo "stop: $?"
echo "stop.Result: $(property Result)"
