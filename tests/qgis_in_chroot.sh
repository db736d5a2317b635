#!/bin/bash
# Runs the tests of the QGIS plugin in the QGIS of another Debian, in a chroot:
#
#   tests/qgis_in_chroot.sh trixie                  # QGIS 3.40
#   tests/qgis_in_chroot.sh testing /var/tmp/there  # 3.44 or later
#
# As root, with debootstrap; takes some 3 GB and a quarter of an hour the first time. The folder
# (by default /var/tmp/rm_geo-qgis-SUITE) is kept for the next time. The worker runs in the
# environment of this checkout ($VENV, or .venv), which is mounted into the chroot.
set -euo pipefail
suite=${1:?usage: $0 SUITE [FOLDER]}
folder=${2:-/var/tmp/rm_geo-qgis-$suite}
root=$(cd "$(dirname "$0")/.." && pwd)
python=${VENV:-$root/.venv}/bin/python
mirror=${MIRROR:-$(grep -rhoE 'https?://[^ ]*/debian/?( |$)' /etc/apt/sources.list* | head -1)}

if [ ! -e "$folder/etc/debian_version" ]; then
    debootstrap --variant=minbase "$suite" "$folder" "${mirror:-}"
fi
cp /etc/resolv.conf "$folder/etc/resolv.conf"

# All from here on in a namespace of its own: its mounts end with it.
exec unshare --mount bash -euo pipefail -c '
    folder=$1 root=$2 python=$3
    mount -t proc proc "$folder/proc"
    mount --rbind /dev "$folder/dev"
    if [ ! -x "$folder/usr/bin/qgis" ]; then
        export DEBIAN_FRONTEND=noninteractive
        # A mirror may lag behind; what is installed here stays in the chroot.
        chroot "$folder" apt-get update --quiet=2 -o Acquire::Check-Valid-Until=false
        chroot "$folder" apt-get install --yes --quiet=2 --no-install-recommends \
            qgis python3-qgis xvfb xauth procps fonts-dejavu-core >/dev/null
    fi
    # The checkout, the interpreter, and wherever its packages lie.
    "$python" - "$root" <<PYTHON | while read -r path; do
import sys
from pathlib import Path
wanted = {Path(p).resolve() for p in (*sys.argv[1:], sys.prefix, sys.base_prefix, *sys.path) if p}
wanted = {p for p in wanted if p.is_dir() and not p.is_relative_to("/usr")}
for path in sorted(wanted):
    if not any(path != other and path.is_relative_to(other) for other in wanted):
        print(path)
PYTHON
        mkdir -p "$folder$path"
        mount --bind "$path" "$folder$path"
    done
    chroot "$folder" env -i PATH=/usr/local/bin:/usr/bin:/bin HOME=/root LANG=C.UTF-8 \
        PYTEST_ADDOPTS="${PYTEST_ADDOPTS:-}" RM_GEO_TEST_QGIS=1 OMP_NUM_THREADS=1 PYTHONPATH="$root" \
        sh -c "cd \"$root\" && { dpkg-query -W qgis; /usr/bin/python3 --version; } &&
            \"$python\" -m pytest -q -p no:cacheprovider tests/qgis/test_qgis_processing.py \
            tests/qgis/test_qgis_gui.py tests/qgis/test_qgis_plugin.py"
' bash "$folder" "$root" "$python"
