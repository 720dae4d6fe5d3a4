#!/bin/sh
# Write a C project into a directory: six programs, and six libraries of six files each.
#
#   ./generate.sh DIRECTORY
set -eu
here=$(dirname "$0")
mkdir -p "$1/programs"
cp "$here/Makefile" "$1"
numbers='1 2 3 4 5 6'

declarations='' calls=''
for lib in $numbers; do
	mkdir -p "$1/lib$lib"
	for part in $numbers; do
		name=lib${lib}_part$part
		echo "int $name(int n) { return n * $lib + $part; }" >"$1/lib$lib/part$part.c"
		declarations="${declarations}int $name(int n);
"
		calls="${calls}	sum += $name(argc);
"
	done
done

for program in $numbers; do
	cat >"$1/programs/program$program.c" <<EOF
#include <stdio.h>
$declarations
int main(int argc, char **argv)
{
	int sum = 0;

$calls	printf("%s: %d\n", argv[0], sum + $program);
	return 0;
}
EOF
done
