#!/bin/sh
# Compress files, two at a time: ./compress-after.sh FILE...
for file in "$@"; do
	poolrun --pool "${POOL:-/compress}" --size 2 -- gzip "$file" &
done
wait
