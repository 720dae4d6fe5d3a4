#!/bin/sh
# Hold a lock in a part of a script: ./section-before.sh COMMAND [ARG...]
exec 9>"${LOCK:-/tmp/job.lock}"
flock --timeout 2 9 || exit
"$@"
exec 9>&-
echo 'this part needs no lock'
