#!/bin/sh
# Run a command when no other runs: ./mutex-before.sh COMMAND [ARG...]
exec sem --quote --fg --id deploy "$@"
