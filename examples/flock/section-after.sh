#!/bin/sh
# Hold a slot in a part of a script: ./section-after.sh COMMAND [ARG...]
poolrun init "${POOL:-/job}" --size 1 --exist-ok
exec 9<"$(poolrun path "${POOL:-/job}")" # with "<": ">" would truncate the file
poolrun acquire --fd 9 --timeout 2 --busy-exit-code 1 --quiet || exit
"$@"
exec 9<&-
echo 'this part needs no slot'
