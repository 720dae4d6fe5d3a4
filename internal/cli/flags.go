package cli

import (
	"reflect"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// A flagWalk goes through the flags of a command line as kong does.
//
//	walk := walkFlags(model, args)
//	for walk.next() { ... walk.flag, walk.value ... }
type flagWalk struct {
	flag  *kong.Flag // nil at a word that is no flag
	value string
	at    int // the index of the word

	flags []*kong.Flag
	args  []string
	more  int    // the index of the next word
	short string // further flags of the same word, as in -vq
}

// walkFlags begins a walk through the arguments, the first of which names the command.
func walkFlags(model *kong.Application, args []string) flagWalk {
	flags := slices.Clone(model.Flags)
	for _, command := range model.Children {
		if command.Name == args[0] {
			flags = append(flags, command.Flags...)
		}
	}
	return flagWalk{flags: flags, args: args, more: 1}
}

// next goes to the next flag or word. It reports false at the end, and at a flag that does not exist or
// lacks its value.
func (w *flagWalk) next() bool {
	w.flag, w.value = nil, ""
	if w.short != "" {
		return w.nextShort()
	}
	if w.more >= len(w.args) {
		return false
	}
	w.at = w.more
	word := w.args[w.at]
	w.more++
	if !strings.HasPrefix(word, "-") || word == "-" || word == "--" {
		return true
	}
	long, isLong := strings.CutPrefix(word, "--")
	if !isLong {
		w.short = word[1:]
		return w.nextShort()
	}
	name, value, isAttached := strings.Cut(long, "=")
	return w.take(func(f *kong.Flag) bool { return f.Name == name }, value, isAttached)
}

// nextShort goes to the next flag of a word like -vq, -w5 or -w.
func (w *flagWalk) nextShort() bool {
	short, rest := []rune(w.short)[0], ""
	w.short, rest = "", w.short[len(string(short)):]
	if !w.take(func(f *kong.Flag) bool { return f.Short == short }, rest, rest != "") {
		return false
	}
	if w.flag.IsBool() {
		w.short = rest
	}
	return true
}

// take finds a flag and its value, which is the next word unless it is attached.
func (w *flagWalk) take(isIt func(*kong.Flag) bool, value string, isAttached bool) bool {
	i := slices.IndexFunc(w.flags, isIt)
	if i < 0 {
		return false
	}
	w.flag, w.value = w.flags[i], value
	if w.flag.IsBool() || isAttached {
		return true
	}
	if w.more >= len(w.args) {
		return false
	}
	w.value = w.args[w.more]
	w.more++
	return true
}

// cutCommand cuts the command to run off the arguments of run.
func cutCommand(model *kong.Application, args []string) (own, command []string) {
	if args[0] != "run" {
		return args, nil
	}
	for walk := walkFlags(model, args); walk.next(); {
		if walk.flag == nil {
			return args[:walk.at], args[walk.at:]
		}
	}
	return args, nil
}

// allProblems returns the error that kong has stopped at, together with all invalid values of flags.
func allProblems(model *kong.Application, args []string, err error) error {
	var found problems
	isFound := false
	for walk := walkFlags(model, args); walk.next(); {
		if walk.flag == nil || walk.flag.IsBool() {
			continue
		}
		value := reflect.New(walk.flag.Target.Type()).Elem()
		token := kong.Token{Type: kong.FlagValueToken, Value: walk.value}
		if problem := walk.flag.Parse(kong.ScanFromTokens(token), value); problem != nil {
			found = append(found, problem)
			isFound = isFound || problem.Error() == err.Error()
		}
	}
	if !isFound {
		found = append(found, err)
	}
	return found
}
