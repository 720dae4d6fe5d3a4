#!/bin/sh
# Wait at most N seconds, then run a command: ./timeout-after.sh N COMMAND [ARG...]
seconds=$1
shift
exec poolrun --pool "${POOL:-/job}" --size 1 --timeout "$seconds" --quiet -- "$@"
