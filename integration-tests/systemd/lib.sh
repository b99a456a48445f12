# Sourced by the scripts beside it, which run as root in a throwaway machine whose PID 1 is systemd.
# They print facts, one `name: value` a line; the Rust side judges them.
set -u
repository=$1 binaries=$2

install_server() { # the binaries and units, without a package
    install -m 0755 "$binaries/prometheus" "$binaries/promtool" /usr/bin/
    install -m 0644 "$repository/packaging/prometheus.service" "$repository/packaging/optional/prometheus.socket" /etc/systemd/system/
    install -D -m 0644 "$repository/packaging/prometheus.sysusers" /usr/lib/sysusers.d/prometheus.conf
    install -D -m 0644 "$repository/packaging/prometheus.yml" /etc/prometheus/prometheus.yml
    systemd-sysusers prometheus.conf
    systemctl daemon-reload
}

ready_code() { curl -s -o /dev/null -m 5 -w '%{http_code}' http://127.0.0.1:9090/-/ready; }

property() { systemctl show prometheus.service -p "$1" --value; }

# case NAME: starts the unit and prints all that an operator can see of it
start_case() {
    local name=$1 code ready attempt
    for attempt in 1 2 3; do
        systemctl start prometheus.service >/dev/null 2>&1
        code=$?
        # 219: systemd could not make the control group, so nothing of the server ran
        [ "$(property ExecMainStatus)" = 219 ] || break
        systemctl stop prometheus.service
        systemctl reset-failed prometheus.service 2>/dev/null
        sleep 1
    done
    ready=$(ready_code)
    echo "$name.start: $code"
    echo "$name.ready: $ready"
    echo "$name.StatusText: $(property StatusText)"
    echo "$name.Result: $(property Result)"
    echo "$name.ExecMainStatus: $(property ExecMainStatus)"
    echo "$name.StatusErrno: $(property StatusErrno)"
    echo "$name.shown: $(systemctl status prometheus.service 2>&1 | grep -c 'Status: "')"
    # only an automatic restart may follow, and only where the code is not one that no restart mends
    sleep 0.3
    echo "$name.SubState: $(property SubState)"
    systemctl stop prometheus.service
    # fails where the stopped unit is already unloaded, which is as good
    systemctl reset-failed prometheus.service 2>/dev/null || true
}

wait_for() { # wait_for SECONDS COMMAND...: 0 as soon as the command succeeds
    local deadline=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $deadline ] || return 1
        sleep 0.05
    done
}

milliseconds() { date +%s%3N; }

# the jobs that are scraped, and whether that is this one
job() { curl -s http://127.0.0.1:9090/api/v1/targets | grep -o '"scrapePool":"[a-z]*"' | sort -u | tr -d '\n'; }
runs() { [ "$(job)" = "\"scrapePool\":\"$1\"" ]; }

# edit_by NAME JOB COMMAND...: how long after the command the configuration with that job runs
edit_by() {
    local name=$1 job=$2 begin
    shift 2
    begin=$(milliseconds)
    "$@"
    wait_for 10 runs "$job"
    echo "$name.runs: $?"
    echo "$name.milliseconds: $(($(milliseconds) - begin))"
}
