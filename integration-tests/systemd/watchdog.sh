#!/bin/bash
# A scrape loop that wedges (a fault of the test build) lets systemd restart the server.
. "$(dirname "$0")/lib.sh"
install_server
sed -i 's/scrape_interval: 15s/scrape_interval: 1s/; s/scrape_timeout: 10s/scrape_timeout: 1s/' /etc/prometheus/prometheus.yml
mkdir -p /etc/systemd/system/prometheus.service.d
cat >/etc/systemd/system/prometheus.service.d/test.conf <<'UNIT'
[Service]
WatchdogSec=4
Environment=PROMETHEUS_FAULT_WEDGE_AFTER_SCRAPES=3
UNIT
systemctl daemon-reload
systemctl start prometheus.service
echo "start: $?"
first=$(property MainPID)
restarted() { [ "$(property NRestarts)" -ge 1 ] && [ "$(ready_code)" = 200 ]; }
wait_for 60 restarted
echo "restarted: $?"
[ "$(property MainPID)" != "$first" ]
echo "new process: $?"
echo "reason: $(journalctl -u prometheus.service -o cat 2>/dev/null | grep -c 'event=HeartSilent')"
systemctl stop prometheus.service

# the same build without the fault lives on well past the deadline
sed -i '/FAULT/d' /etc/systemd/system/prometheus.service.d/test.conf
systemctl daemon-reload
systemctl reset-failed prometheus.service 2>/dev/null
systemctl start prometheus.service
first=$(property MainPID)
sleep 10
[ "$(property MainPID)" = "$first" ] && [ "$(ready_code)" = 200 ]
echo "healthy lives: $?"
systemctl stop prometheus.service
