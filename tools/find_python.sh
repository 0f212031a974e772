#!/bin/sh
# Print the path of a Python that Van Allen runs on, or say what to do about it.
#
#   find_python.sh              the first of the usual names that will do
#   find_python.sh NAME         this one, or a sentence that says why not
#   find_python.sh --same A B   succeed if A and B are the same version
set -eu

USUAL="python3.13 python3.12 python3.11 python3.10 python3"
APT="apt install make python3-venv gcc"

# "3.11 /usr/bin/python3.11", or nothing where the name does not start a Python.
probe() {
    "$1" -c 'import sys; print("%d.%d %s" % (sys.version_info[0], sys.version_info[1], sys.executable))' 2>/dev/null || :
}

# Why the Python that probe() described cannot be used; nothing when it can.
objection() {
    case "${1%% *}" in
        "") echo "it does not start" ;;
        3.10 | 3.11 | 3.12 | 3.13)
            "${1#* }" -c 'import ensurepip, venv' 2>/dev/null ||
                echo "${1%% *} is right, but it cannot make environments ($APT)" ;;
        2.* | 3.[0-9]) echo "${1%% *} is too old" ;;
        *) echo "${1%% *} is too new" ;;
    esac
}

refuse() {
    {
        echo "Van Allen needs Python 3.10 to 3.13: $1."
        echo "Install one of these (on Debian and Ubuntu: $APT) or name one: make run PYTHON=/path/to/python3.12"
    } >&2
    exit 1
}

if [ "${1:-}" = --same ]; then
    made=$(probe "$2")
    asked=$(probe "$3")
    [ "${made%% *}" = "${asked%% *}" ] && exit 0
    echo "$2 is Python ${made%% *}, but PYTHON=$3 is Python ${asked%% *}: run \`make clean\` first, or keep both with VENV=.venv-${asked%% *}" >&2
    exit 1
fi

if [ $# -gt 0 ]; then
    found=$(probe "$1")
    why=$(objection "$found")
    [ -z "$why" ] || refuse "$1: $why"
    echo "${found#* }"
    exit 0
fi

seen=""
for name in $USUAL; do
    found=$(probe "$name")
    [ -n "$found" ] || continue
    why=$(objection "$found")
    if [ -z "$why" ]; then
        echo "${found#* }"
        exit 0
    fi
    seen="$seen${seen:+; }$name: $why"
done
refuse "${seen:-no Python 3 was found}"
