#!/bin/sh
# Run a command, unless it runs already: ./nonblock-before.sh COMMAND [ARG...]
exec flock --nonblock "${LOCK:-/tmp/job.lock}" "$@"
