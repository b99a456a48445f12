#!/bin/bash
# Edits of a configuration that comes from elsewhere: a file mounted singly, a mounted directory, a mounted
# directory whose links are swapped, and a file system that tells nobody of changes.
. "$(dirname "$0")/lib.sh"
install_server
folder=/etc/prometheus config=/etc/prometheus/prometheus.yml source=/srv/prometheus

config_of() { # config_of JOB
    cat <<YAML
global:
  scrape_interval: 1s
scrape_configs:
  - job_name: $1
    static_configs:
      - targets: ["localhost:9090"]
YAML
}
begin_case() { # begin_case NAME JOB: starts the unit on what is mounted now
    systemctl start prometheus.service
    echo "$1.start: $?"
    runs "$2"
    echo "$1.runs: $?"
}
end_case() { # stops it, and takes what is mounted away
    systemctl stop prometheus.service
    umount "$1"
}
in_place() { config_of "$1" >"$2"; }
by_rename() { config_of "$1" >"$2.new" && mv "$2.new" "$2"; }
swap() { # as Kubernetes does it: a directory for each version, and a link that is swapped
    mkdir -p "$source/..version_$1"
    config_of "$1" >"$source/..version_$1/prometheus.yml"
    ln -sfn "..version_$1" "$source/..data_tmp"
    mv -T "$source/..data_tmp" "$source/..data"
}
mkdir -p $source

# One file, as containers mount it: its directory hears nothing of edits at the source.
config_of filea >$source/single.yml
mount --bind $source/single.yml $config
begin_case file filea
edit_by file.edit fileb in_place fileb $source/single.yml
edit_by file.mounted filec in_place filec $config
end_case $config

# A whole directory.
config_of folda >$source/prometheus.yml
mount --bind $source $folder
begin_case folder folda
edit_by folder.edit foldb in_place foldb $source/prometheus.yml
edit_by folder.rename foldc by_rename foldc $source/prometheus.yml
edit_by folder.sed foldd sed -i 's/job_name: .*/job_name: foldd/' $source/prometheus.yml
end_case $folder

# A mounted volume of Kubernetes.
rm $source/prometheus.yml
swap swapa
ln -s ..data/prometheus.yml $source/prometheus.yml
mount --bind $source $folder
begin_case swap swapa
edit_by swap.first swapb swap swapb
edit_by swap.second swapc swap swapc
end_case $folder

# An overlay is told nothing of what happens in the layer below it, as a client of a network file system is
# told nothing of what others do.
mkdir -p /srv/empty
mount -t tmpfs tmpfs /srv/empty
mkdir /srv/empty/lower
config_of deafa >/srv/empty/lower/prometheus.yml
mkdir /srv/empty/none
mount -t overlay overlay -o lowerdir=/srv/empty/lower:/srv/empty/none $folder
echo "deaf.mount: $?"
begin_case deaf deafa
edit_by deaf.edit deafb in_place deafb /srv/empty/lower/prometheus.yml
edit_by deaf.again deafc in_place deafc /srv/empty/lower/prometheus.yml
end_case $folder
