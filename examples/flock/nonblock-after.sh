#!/bin/sh
# Run a command, unless it runs already: ./nonblock-after.sh COMMAND [ARG...]
exec poolrun --pool "${POOL:-/job}" --size 1 --nonblock --busy-exit-code 1 --quiet -- "$@"
