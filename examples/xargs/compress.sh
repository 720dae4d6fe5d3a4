#!/bin/sh
# Compress the files below a directory, several at a time. The limit for the whole machine
# is half its CPUs, however many copies of this script run at once.
#
#   ./compress.sh DIRECTORY
set -eu
find "$1" -type f ! -name '*.gz' -print0 |
	xargs -0 -r -P 16 -n 1 poolrun --pool "${POOL:-compress}" --size "${SIZE:-50%}" -- gzip
