#!/bin/sh
# Print the checksums of the files below a directory. find runs one command at a time. The pool
# limits how many commands all copies of this script run at once.
#
#   ./checksums.sh DIRECTORY
set -eu
find "$1" -type f -exec poolrun --pool "${POOL:-checksums}" --size "${SIZE:-2}" -- sha256sum {} \;
