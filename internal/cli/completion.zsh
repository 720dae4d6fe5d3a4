#compdef poolrun
# zsh completion for poolrun, printed by "poolrun completion zsh"

_poolrun() {
	local -a names line
	local -A opt_args
	local command=run
	_poolrun_names
	if (( CURRENT == 2 )) && [[ $PREFIX != -* ]]; then
		_describe -t commands 'poolrun command' names && return
		[[ -n $POOLRUN_POOL ]] || return
	elif (( CURRENT > 2 )) && [[ " ${(@)names%%:*} " = *" $words[2] "* ]]; then
		command=$words[2]
		shift words
		(( CURRENT-- ))
	fi
	local curcontext=${curcontext%:*:*}:poolrun-$command:
	_poolrun_arguments $command
}

_poolrun_pools() {
	local -a pools match mbegin mend
	local row expl
	for row in ${(f)"$(command poolrun list 2>/dev/null)"}; do
		# A name may contain spaces. Four numbers follow it.
		[[ $row = (#b)(*[^ ])( ##<->)(#c4) ]] && pools+=("$match[1]")
	done
	# The slash may be omitted.
	[[ -n $PREFIX && $PREFIX != [/\'\"\\]* ]] && pools=("${(@)pools#/}")
	_wanted pools expl pool compadd -a pools
}

# The slots in use of the pool that is the first argument.
_poolrun_slots() {
	local report="$(command poolrun status "${(Q)line[1]}" --format json 2>/dev/null)" expl
	local -a slots
	while [[ $report = *'"slots":['* ]]; do
		report=${report#*'"slots":['}
		slots+=(${(s:,:)report%%]*})
	done
	_wanted slots expl slot compadd -a slots
}

# COMMANDS

# An autoloaded function gets here when it is called first.
if [[ ${funcstack[1]-} = _poolrun ]]; then
	_poolrun "$@"
elif (( ${+functions[compdef]} )); then
	compdef _poolrun poolrun
fi
