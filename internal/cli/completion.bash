# bash completion for poolrun, printed by "poolrun completion bash"

_poolrun() {
	local IFS=$' \t\n' words=() starts=()
	_poolrun_split
	local last=$((${#words[@]} - 1)) i=1
	local word=${words[last]}
	local commands=() flags=() args=()
	_poolrun_command_line run
	if ((last > 1)) && [[ " ${commands[*]} " == *" ${words[1]} "* ]]; then
		_poolrun_command_line "${words[1]}"
		i=2
	fi

	# After a flag that has a value, kind is the kind of that value.
	local kind='' head='' given=() dashes=''
	for (( ; i < last; i++)); do
		if [[ -n $kind ]]; then
			kind=''
		elif [[ -z $dashes && ${words[i]} == -- ]]; then
			dashes=yes
		elif [[ -z $dashes && ${words[i]} == -?* ]]; then
			_poolrun_flag "${words[i]}"
			[[ $head == "${words[i]}" ]] || kind=''
		elif [[ ${args[0]-} == command ]]; then
			_poolrun_command "$i"
			return
		else
			given+=("${words[i]}")
		fi
	done
	head=''
	if [[ -n $kind ]]; then
		: # the word is the value
	elif [[ -z $dashes && $word == -* ]]; then
		_poolrun_flag "$word"
		[[ -n $kind && ($head != "$word" || $head == *=) ]] || kind=flags head=''
	elif ((last == 1)); then
		kind=commands
	else
		kind=${args[${#given[@]}]-}
	fi
	_poolrun_offer "${2-}"
}

# Sets words to the words of the line up to the cursor, and starts to where each begins in COMP_WORDS. There
# bash has also split the words at characters like = and :.
_poolrun_split() {
	local line=${COMP_LINE:0:COMP_POINT} piece i
	for ((i = 0; i <= COMP_CWORD; i++)); do
		if ((i == 0)) || [[ $line == [[:space:]]* ]]; then
			line=${line#"${line%%[![:space:]]*}"}
			words+=('')
			starts+=("$i")
		fi
		piece=${COMP_WORDS[i]}
		[[ $line == "$piece"* ]] || piece=$line
		line=${line#"$piece"}
		words[${#words[@]} - 1]+=$piece
	done
}

# Sets kind to the kind of value of the flag in a word, and head to what comes before the value.
_poolrun_flag() {
	local i
	if [[ $1 == --* ]]; then
		head=${1%%=*}
		_poolrun_kind "$head"
		[[ $1 != *=* ]] || head+='='
		return
	fi
	for ((i = 1; i < ${#1}; i++)); do
		head=${1:0:i+1}
		_poolrun_kind "-${1:i:1}"
		[[ -z $kind ]] || return
	done
}

# Sets kind to the kind of value of a flag.
_poolrun_kind() {
	local flag
	kind=''
	for flag in "${flags[@]}"; do
		[[ $flag != "$1="* ]] || kind=${flag#*=}
	done
}

# Completes the word by the kind. The argument is the part of the word that readline replaces.
_poolrun_offer() {
	local candidates=()
	COMPREPLY=()
	case $kind in
	commands) candidates=("${commands[@]}") ;;
	flags) candidates=("${flags[@]%%=*}") ;;
	words,*) IFS=, read -ra candidates <<<"${kind#words,}" ;;
	pool) mapfile -t candidates < <(_poolrun_pools) ;;
	slot) IFS=$',\n' read -d '' -ra candidates < <(_poolrun_slots) ;;
	group) mapfile -t candidates < <(compgen -A group) ;;
	file)
		if [[ -n $head && $1 == "$head"* ]]; then # COMP_WORDBREAKS has no =
			mapfile -t candidates < <(compgen -f -- "${1#"$head"}")
		else
			compopt -o default 2>/dev/null
		fi
		;;
	command) _poolrun_command "$last" ;;
	esac
	_poolrun_reply "$1"
	if [[ $kind == commands && -z ${COMPREPLY[*]-} && -n ${POOLRUN_POOL-} ]]; then
		_poolrun_command "$last"
	fi
}

# Adds the candidates that fit to COMPREPLY, quoted in the same way as the word.
_poolrun_reply() {
	local typed=$1 value=${word#"$head"} quote='' candidate
	case $typed in
	[=:]*) typed='' ;; # from bash-completion
	[\"\']*) typed=${typed:1} ;;
	esac
	[[ $value != [\"\']* ]] || quote=${value:0:1}
	for candidate in ${candidates[@]+"${candidates[@]}"}; do
		if [[ $kind == pool && $value == [!/\"\']* ]]; then # the slash may be omitted
			candidate=${candidate#/}
		fi
		case $quote in
		'') printf -v candidate %q "$candidate" ;;
		\') [[ $candidate != *\'* ]] || continue ;;
		\") [[ $candidate != *[\"\$\`\\!]* ]] || continue ;;
		esac
		candidate=$head$quote$candidate
		if [[ $candidate == "$word"* ]]; then
			COMPREPLY+=("${candidate#"${word%"$typed"}"}")
		fi
	done
}

# Completes the command to run, which begins at this word. Only bash-completion can call the completion of
# another command. Without it, these are the names of commands and files.
_poolrun_command() {
	if declare -F _comp_command_offset >/dev/null; then
		_comp_command_offset "${starts[$1]}"
	elif declare -F _command_offset >/dev/null; then
		_command_offset "${starts[$1]}"
	else
		compopt -o default -o bashdefault 2>/dev/null
		if (($1 == last)); then
			mapfile -t COMPREPLY < <(compgen -c -- "$word")
		fi
	fi
}

_poolrun_pools() {
	local line
	command poolrun list 2>/dev/null | while IFS= read -r line; do
		# A name may contain spaces. Four numbers follow it.
		[[ ! $line =~ ^(.*[^ ])(\ +[0-9]+){4}$ ]] || printf '%s\n' "${BASH_REMATCH[1]}"
	done
}

# Prints the slots in use of the pool that is the first argument, unless that is quoted.
_poolrun_slots() {
	local status
	[[ ${given[0]-} != *[\"\'\$\`\\]* ]] || return
	status=$(command poolrun status "${given[0]-}" --format json 2>/dev/null)
	while [[ $status == *'"slots":['* ]]; do
		status=${status#*'"slots":['}
		printf '%s\n' "${status%%]*}"
	done
}

# COMMANDS

complete -F _poolrun poolrun
