# fish completion for poolrun, printed by "poolrun completion fish"

# Prints the command of the line, and its arguments before the cursor without the flags, each followed by a
# NUL. The arguments of run are the command to run and all that follows it.
function __poolrun_line
    set -l words (commandline -opc)
    set -e words[1]
    set -l command run
    if contains -- "$words[1]" (__poolrun_commands)
        set command $words[1]
        set -e words[1]
    end
    if not argparse (__poolrun_options $command) -- $words 2>/dev/null
        set -e words[-1] # a flag whose value is at the cursor
    end
    argparse (__poolrun_options $command) -- $words 2>/dev/null
    string join0 -- $command $argv
end

# Succeeds if the line has this command, and the cursor is at this argument or at a flag before it.
function __poolrun_at --argument-names command position
    set -l line (__poolrun_line | string split0)
    test "$line[1]" = "$command"; or return
    test -z "$position"; or test (count $line) = "$position"
end

function __poolrun_at_first
    test (count (commandline -opc)) = 1
end

# Completes the command to run, or its arguments.
function __poolrun_command
    set -l word (commandline -ct)
    set -l line (__poolrun_line | string split0)
    set -e line[1]
    if set -q line[1]
        set line (string escape -- $line)
    else if string match -q -- '-*' "$word"
        return # a flag
    else if __poolrun_at_first
        # With a pool in the environment, it can also be the command to run.
        test -n "$POOLRUN_POOL"; and not string match -q -- "$word*" (__poolrun_commands); or return
    end
    complete --do-complete=(string join ' ' -- $line $word)
end

function __poolrun_pools
    command -q poolrun; or return
    # A name may contain spaces. Four numbers follow it.
    command poolrun list 2>/dev/null | string replace --regex --filter '^(.*[^ ])( +[0-9]+){4}$' '$1'
end

# The slots in use of the pool that is the first argument.
function __poolrun_slots
    command -q poolrun; or return
    set -l line (__poolrun_line | string split0)
    command poolrun status "$line[2]" --format json 2>/dev/null |
        string match --regex --all --groups-only '"slots":\[([0-9,]+)\]' | string split ,
end

complete -c poolrun -f

# COMMANDS
