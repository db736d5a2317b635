#!/bin/sh
# Installs what the tests of the QGIS plugin need, where that is possible: Debian or Ubuntu, as
# root. Elsewhere it says so, and the tests say that they were skipped; see tests/support/qgis.py.
set -eu
if [ -x /usr/bin/qgis_process.bin ] && command -v qgis >/dev/null &&
    command -v Xvfb >/dev/null && command -v xauth >/dev/null &&
    [ -e /usr/share/qgis/python/plugins/processing/__init__.py ]; then
    exit 0
fi
if ! command -v apt-get >/dev/null; then
    echo "QGIS cannot be installed by this script: there is no apt-get."
    exit 0
fi
if [ "$(id -u)" != 0 ]; then
    echo "QGIS cannot be installed: not root. Try: sudo apt-get install qgis python3-qgis xvfb xauth"
    exit 0
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update --quiet=2
apt-get install --yes --quiet=2 --no-install-recommends \
    qgis python3-qgis xvfb xauth procps fonts-dejavu-core >/dev/null
