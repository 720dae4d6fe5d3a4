#!/bin/sh
# Compress files, two at a time: ./compress-before.sh FILE...
for file in "$@"; do
	sem --quote --id compress --jobs 2 gzip "$file"
done
sem --id compress --wait
