#!/bin/bash
# Connections made while the server restarts are answered: first through the socket unit, then through
# the descriptors that the service itself leaves with systemd.
. "$(dirname "$0")/lib.sh"
install_server

# asks over and over while the unit restarts twice; prints how many answers and failures there were
ask_over_restarts() {
    local name=$1 answered=0 failed=0 done_file=/tmp/done.$1
    rm -f "$done_file"
    (
        systemctl restart prometheus.service
        systemctl restart prometheus.service
        touch "$done_file"
    ) &
    until [ -e "$done_file" ]; do
        if curl -s -o /dev/null -m 20 http://127.0.0.1:9090/-/healthy; then
            answered=$((answered + 1))
        else
            failed=$((failed + 1))
        fi
    done
    wait
    echo "$name.failed: $failed"
    echo "$name.answered: $([ $answered -gt 0 ] && echo some)"
    echo "$name.ready: $(ready_code)"
}

systemctl start prometheus.socket
echo "socket.start: $?"
# the first connection starts the service and waits for its answer
curl -s -o /dev/null -m 30 -w 'first.code: %{http_code}\n' http://127.0.0.1:9090/-/healthy
ask_over_restarts socket
systemctl stop prometheus.service prometheus.socket
systemctl reset-failed 2>/dev/null

systemctl start prometheus.service
echo "store.descriptors: $(property NFileDescriptorStore)"
ask_over_restarts store
systemctl stop prometheus.service
echo "stopped.code: $(ready_code)"
