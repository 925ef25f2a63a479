#!/usr/bin/env bash
# Install the Debian packages that a purpose needs, if they are missing: tools/system_packages.sh test
set -euo pipefail
case "${1:-}" in
  # the completion test runs a real bash with its completion package; strace records what the crash tests cut short;
  # systemd checks the units of docs/operations.md, and that it leaves our temporary folders alone
  # GStreamer is the second engine: its tools, and the plugins with the encoders of all codecs
  # chromium plays packages
  test) wanted=(bash-completion strace systemd gstreamer1.0-tools gstreamer1.0-libav
    gstreamer1.0-plugins-{base,good,bad,ugly} chromium) ;;
  # nginx with its RTMP module is the server that streams go to
  test) wanted=(bash-completion strace systemd gstreamer1.0-tools gstreamer1.0-libav
    gstreamer1.0-plugins-{base,good,bad,ugly} nginx-light libnginx-mod-rtmp) ;;
  *) echo "usage: $0 test" >&2; exit 2 ;;
esac
missing=()
for package in "${wanted[@]}"; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
