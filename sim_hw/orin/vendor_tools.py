"""The vendor's tools of an emulated Orin: nvpmodel and nvbootctrl, as small shell programs."""

from __future__ import annotations

from sim_hw.orin.constants import MODES

CONFIGURATION = "etc/nvpmodel.conf"
_GPU_FILE = "/sys/class/devfreq/17000000.gpu"


def configuration() -> str:
    """What /etc/nvpmodel.conf says of the modes."""
    lines = [
        "< PARAM TYPE=FILE NAME=GPU >",
        f"MIN_FREQ {_GPU_FILE}/min_freq",
        f"MAX_FREQ {_GPU_FILE}/max_freq",
    ]
    for mode in MODES:
        lines += [
            f"< POWER_MODEL ID={mode.number} NAME={mode.name} >",
            f"GPU MAX_FREQ {mode.gpu_hz}",
            f"EMC MAX_FREQ {mode.emc_hz}",
            f"TPC_POWER_GATING TPC_PG_MASK {mode.tpc_mask}",
        ]
    return "\n".join([*lines, "< PM_CONFIG DEFAULT=0 >", ""])


NVPMODEL = r"""#!/bin/sh
# nvpmodel of an emulated board: queries and sets the power mode saved below its root.
root=${0%/usr/sbin/nvpmodel}
status=$root/var/lib/nvpmodel/status
conf=$root/etc/nvpmodel.conf
gpu=$root/sys/class/devfreq/17000000.gpu
name_of() { sed -n "s/^< POWER_MODEL ID=$1 NAME=\([A-Z0-9_]*\) >/\1/p" "$conf"; }
case $1 in
-q)
    mode=$(sed -n 's/^pmode:0*\([0-9]\)$/\1/p' "$status")
    echo "NV Power Mode: $(name_of "$mode")"
    echo "$mode"
    ;;
-p)
    default=$(sed -n 's/^< PM_CONFIG DEFAULT=\([0-9]*\) >/\1/p' "$conf")
    echo "NVPM VERB: PM_CONFIG: DEFAULT=$(name_of "$default")($default)"
    sed -n -e 's/^< POWER_MODEL \(ID=.*\) >/NVPM VERB: POWER_MODEL: \1/p' \
        -e 's/^TPC_POWER_GATING/NVPM VERB: &/p' "$conf"
    ;;
-m)
    [ -n "$(name_of "$2")" ] || { echo "NVPM ERROR: no power mode $2"; exit 255; }
    sed -n "/^< POWER_MODEL ID=$2 /,/^</ s/^GPU MAX_FREQ //p" "$conf" > "$gpu/max_freq"
    printf 'pmode:%04d\n' "$2" > "$status.new" && mv "$status.new" "$status"
    ;;
*)
    echo "NVPM ERROR: give -q, -p --verbose or -m ID"
    exit 255
    ;;
esac
"""

NVBOOTCTRL = r"""#!/bin/sh
# nvbootctrl of an emulated board: two slots, the active one is booted at the next power cycle.
root=${0%/usr/sbin/nvbootctrl}
state=$root/var/lib/nvbootctrl
rootfs=
if [ "$1" = -t ]; then [ "$2" = rootfs ] && rootfs=yes; shift 2; fi
letter() { case $1 in 0) echo A ;; 1) echo B ;; esac; }
current=$(cat "$state/current")
active=$(cat "$state/active")
put() { echo "$2" > "$state/$1.new" && mv "$state/$1.new" "$state/$1"; }
describe() {
    status=normal
    [ "$(cat "$state/tries$1")" = 0 ] && [ "$(cat "$state/confirmed$1")" = 0 ] && status=unbootable
    retries=${rootfs:+retry_count: $(cat "$state/tries$1"),             }
    echo "slot: $1,             ${retries}status: $status"
}
case $1 in
dump-slots-info)
    echo "Current version: 36.4.3"
    echo "Capsule update status: 0"
    echo "Current bootloader slot: $(letter "$current")"
    echo "Active bootloader slot: $(letter "$active")"
    echo "num_slots: 2"
    describe 0
    describe 1
    ;;
get-current-slot) echo "$current" ;;
get-number-slots) echo 2 ;;
set-active-boot-slot)
    case $2 in 0 | 1) ;; *) echo "Error: no slot $2"; exit 1 ;; esac
    put active "$2"
    ;;
mark-boot-successful)
    put "tries$current" 3
    put "confirmed$current" 1
    ;;
*)
    echo "Error: command not found: $1"
    exit 1
    ;;
esac
"""
