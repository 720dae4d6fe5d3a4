#!/bin/sh
# Wait at most N seconds, then run a command: ./timeout-before.sh N COMMAND [ARG...]
seconds=$1
shift
exec flock --timeout "$seconds" --conflict-exit-code 75 "${LOCK:-/tmp/job.lock}" "$@"
