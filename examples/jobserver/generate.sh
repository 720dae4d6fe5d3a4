#!/bin/sh
# Write a C project into a directory: a program of 42 files, each of which takes a moment to compile.
#
#   ./generate.sh DIRECTORY
set -eu
mkdir -p "$1"
cp "$(dirname "$0")/Makefile" "$1"

declarations='' calls=''
for part in $(seq 41); do
	{
		for i in $(seq 30); do
			echo "static int step$i(int n) { for (int i = 0; i < n; i++) n ^= n * $i + i; return n; }"
		done
		echo "int part$part(int n) {"
		echo "	volatile int work = n;"
		for i in $(seq 30); do
			echo "	work = step$i(work % $i);"
		done
		echo "	return $part;"
		echo "}"
	} >"$1/part$part.c"
	declarations="${declarations}int part$part(int n);
"
	calls="${calls}	sum += part$part(argc);
"
done

cat >"$1/main.c" <<EOF
#include <stdio.h>
$declarations
int main(int argc, char **argv)
{
	int sum = 0;

$calls	printf("%d\n", sum);
	return 0;
}
EOF
