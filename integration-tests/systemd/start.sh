#!/bin/bash
# Every way in which a start can end.
. "$(dirname "$0")/lib.sh"
install_server
config=/etc/prometheus/prometheus.yml
data=/var/lib/prometheus/metrics2
cp $config /tmp/good.yml

start_case good

rm $config
start_case missing

cp /tmp/good.yml $config
chmod 000 $config
start_case unreadable
chmod 644 $config

cat >$config <<'YAML'
global:
  scrape_interval: 15s
# a comment
# a comment
# a comment
# a comment
# a comment
# a comment
# a comment
scrape_configs:
  - job_name: node
    scrape_intervall: 5s
    static_configs:
      - targets: ["localhost:9090"]
YAML
start_case invalid
cp /tmp/good.yml $config

/usr/bin/prometheus --config.file=/tmp/good.yml --storage.tsdb.path=/tmp/other 2>/dev/null &
other=$!
wait_for 20 curl -sf http://127.0.0.1:9090/-/ready
start_case port
kill $other
wait $other

mkdir -p $data
chown root:root $data
chmod 0555 $data
start_case readonly
rm -rf $data

install -d -o prometheus -g prometheus $data
install -o prometheus -g prometheus /dev/null $data/lock
flock $data/lock sleep 1000 &
holder=$!
sleep 0.3
start_case locked
pkill -P $holder
wait $holder 2>/dev/null
start_case again
