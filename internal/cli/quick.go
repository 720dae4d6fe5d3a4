package cli

import (
	"encoding"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// ParseQuickly parses the arguments of an ordinary run, from the same struct tags
// as kong and to the same result. kong takes longer to make its model of all
// commands than a short command takes to run.
//
// It reports false where it is not sure, and that is all it says of an error: then
// kong parses. TestBothParsersAgree, in package parser, holds it to that.
func ParseQuickly(args []string, c *runCommand) bool {
	if len(args) > 0 && args[0] == "run" {
		args = args[1:]
	} else if len(args) == 0 || IsCommandName(args[0]) {
		return false
	}
	flags := quickFlags{reflect.ValueOf(c).Elem(), 0}
	for len(args) > 0 && strings.HasPrefix(args[0], "-") && args[0] != "-" && args[0] != "--" {
		taken, ok := flags.parse(args)
		if !ok {
			return false
		}
		args = args[taken:]
	}
	c.Command = args
	return len(args) > 0 && !(len(args) == 1 && args[0] == "--") && flags.complete()
}

// CommandNames are the names of all commands.
func CommandNames() []string {
	commands := reflect.TypeFor[CommandLine]()
	names := make([]string, commands.NumField())
	for i := range names {
		names[i] = kebab(commands.Field(i).Name)
	}
	return names
}

// IsCommandName reports whether a first word names a command.
func IsCommandName(word string) bool { return slices.Contains(CommandNames(), word) }

// quickFlags are the flags of a command, and which of them have been given.
type quickFlags struct {
	command reflect.Value
	given   uint64 // bit i: field i
}

// parse parses the flag that arguments begin with, and reports how many of them it
// takes.
func (q *quickFlags) parse(args []string) (taken int, ok bool) {
	name, value, attached := "", "", false
	isLong := strings.HasPrefix(args[0], "--")
	if isLong {
		name, value, attached = strings.Cut(args[0][2:], "=")
	} else {
		name, value, attached = args[0][1:2], args[0][2:], len(args[0]) > 2
	}
	i := q.find(name, isLong)
	if i < 0 || q.given&(1<<i) != 0 {
		return 0, false
	}
	q.given |= 1 << i
	field := q.command.Field(i)
	switch {
	case field.Kind() == reflect.Bool:
		field.SetBool(true)
		return 1, !attached
	case attached:
		return 1, !strings.HasPrefix(value, "=") && setValue(field, value)
	case len(args) > 1:
		return 2, setValue(field, args[1])
	}
	return 0, false
}

func (q *quickFlags) find(name string, isLong bool) int {
	t := q.command.Type()
	for i := range t.NumField() {
		if f := t.Field(i); f.Tag.Get("short") == name && !isLong || kebab(f.Name) == name && isLong && !isArgument(f) {
			return i
		}
	}
	return -1
}

// complete gives what was not given its value from the environment, or its default.
func (q *quickFlags) complete() bool {
	t := q.command.Type()
	for i := range t.NumField() {
		f := t.Field(i)
		if q.given&(1<<i) != 0 || isArgument(f) {
			continue
		}
		text := FromEnvironment(f.Tag.Get("env"))
		found := text != ""
		if !found {
			text, found = f.Tag.Lookup("default")
		}
		if _, required := f.Tag.Lookup("required"); !found && required || found && !setValue(q.command.Field(i), text) {
			return false
		}
	}
	return true
}

// FromEnvironment is the value that a variable gives to a flag that is not on the
// command line. An empty variable counts as unset, and so does one without a name.
func FromEnvironment(variable string) string { return os.Getenv(variable) }

func isArgument(f reflect.StructField) bool {
	_, is := f.Tag.Lookup("arg")
	return is
}

// setValue sets a flag to a value that leaves no doubt.
func setValue(field reflect.Value, text string) bool {
	if text == "" || strings.HasPrefix(text, "-") {
		return false
	}
	if field.Kind() == reflect.Pointer {
		field.Set(reflect.New(field.Type().Elem()))
		field = field.Elem()
	}
	if value, ok := field.Addr().Interface().(encoding.TextUnmarshaler); ok {
		return value.UnmarshalText([]byte(text)) == nil
	}
	if field.Kind() != reflect.Int || strings.HasPrefix(text, "0") && text != "0" {
		return false
	}
	n, err := strconv.Atoi(text)
	field.SetInt(int64(n))
	return err == nil && strconv.Itoa(n) == text
}

// kebab is the name that kong gives to a field: BusyExitCode is busy-exit-code.
func kebab(name string) string {
	var out strings.Builder
	for i, r := range name {
		if unicode.IsUpper(r) && i > 0 {
			out.WriteByte('-')
		}
		out.WriteRune(unicode.ToLower(r))
	}
	return out.String()
}
