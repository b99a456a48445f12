#!/bin/bash
# The Debian package installs, starts, keeps data on removal and leaves nothing on purge.
. "$(dirname "$0")/lib.sh"
package=$3
rm -f /usr/sbin/policy-rc.d # container images forbid packages to start services

apt-get install -y --no-install-recommends "$package" >/tmp/install.log 2>&1 || dpkg -i "$package" >/tmp/install.log 2>&1
echo "install: $?"
wait_for 20 curl -sf http://127.0.0.1:9090/-/ready
echo "ready: $?"
echo "active: $(property ActiveState)"
echo "enabled: $(systemctl is-enabled prometheus.service)"
echo "user: $(stat -c %U /proc/"$(property MainPID)")"
echo "version: $(promtool --version | head -n 1 | cut -d, -f1)"
wait_for 40 sh -c 'curl -s http://127.0.0.1:9090/api/v1/query -d "query=up==1" | grep -q value'
echo "scrapes itself: $?"
echo "data: $(ls /var/lib/prometheus/metrics2/wal | wc -l)"
dpkg --remove "$(dpkg-deb -f "$package" Package)" >/tmp/remove.log 2>&1
echo "remove: $?"
echo "removed.active: $(property ActiveState)"
echo "removed.data: $(ls -d /var/lib/prometheus/metrics2)"
dpkg --purge "$(dpkg-deb -f "$package" Package)" >/tmp/purge.log 2>&1
echo "purge: $?"
echo "purged.left: $(ls -d /var/lib/prometheus /etc/prometheus /usr/bin/prometheus /usr/lib/systemd/system/prometheus.service 2>/dev/null | wc -l)"
