#!/bin/sh
# Run a command when no other runs: ./mutex-after.sh COMMAND [ARG...]
exec poolrun --pool "${POOL:-/deploy}" --size 1 -- "$@"
