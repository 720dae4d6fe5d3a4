#!/bin/sh
# Show poolrun at work: ./run_demo.sh [--mode=golden|failure]
#
# golden: Run 40 commands through a pool of 4 slots. The commands themselves count how
# many of them run at once.
# failure: Run a command in a pool that does not exist, and exit with code 2.
set -eu
cd "$(dirname "$0")"

mode=golden
case ${1-} in
'' | --mode=golden) ;;
--mode=failure) mode=failure ;;
*)
	echo "usage: $0 [--mode=golden|failure]" >&2
	exit 2
	;;
esac

[ -x ./poolrun ] || make poolrun >/dev/null

pool=/demo-$$
dir=$(mktemp -d)
clean_up() {
	./poolrun destroy --force "$pool" 2>/dev/null || true
	rm -rf "$dir"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

golden() {
	slots=4 commands=40
	mkdir "$dir/running" "$dir/seen"

	# Each command leaves a mark while it runs, and records how many marks there are.
	# The first four wait until all four marks are there.
	cat >"$dir/work" <<-'EOF'
		#!/bin/sh
		cd "$1" || exit 1
		mkdir "running/$$" || exit 1
		while
			seen=$(ls running | wc -l)
			[ "$seen" -ge 4 ] && : >full
			[ ! -e full ]
		do
			sleep 0.01
		done
		echo "$seen" >"seen/$$"
		sleep 0.02
		rmdir "running/$$"
	EOF
	chmod +x "$dir/work"

	./poolrun init "$pool" --size $slots
	echo "created a pool of $slots slots"

	seq $commands | xargs -P 16 -I{} ./poolrun --pool "$pool" -- "$dir/work" "$dir"
	echo "started $commands commands with xargs -P 16: $(find "$dir/seen" -type f | wc -l) ran"
	echo "commands running at once: at most $(cat "$dir"/seen/* | sort -n | tail -n 1)"

	./poolrun status "$pool" | sed -n \
		-e 's/^[^:]*: /status: /p' \
		-e 's/^since [^,]*: \(.* released\).*/counted by the pool: \1/p'
	./poolrun status "$pool" | grep -q ' 0 of 4 slots in use, 4 available, 0 waiting'

	./poolrun destroy "$pool"
	echo "removed the pool: $(find /dev/shm -name "*${pool#/}" | wc -l) objects are left in /dev/shm"
	[ "$(find "$dir/seen" -type f | wc -l)" -eq $commands ]
	[ "$(cat "$dir"/seen/* | sort -n | tail -n 1)" -eq $slots ]
	echo 'OK: golden scenario completed'
}

failure() {
	echo "running a command in a pool that does not exist:"
	code=0
	./poolrun --pool "$pool" -- echo 'this must not run' 2>&1 | sed "s|$pool|/demo|g" >"$dir/said" || true
	./poolrun --pool "$pool" -- echo 'this must not run' >/dev/null 2>&1 || code=$?
	sed 's/^/  /' "$dir/said"
	echo 'ERROR: invalid input or unavailable IPC resource'
	echo "exit=$code"
	exit "$code"
}

$mode
