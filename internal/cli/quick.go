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

// parseQuickly parses the arguments of an ordinary run from the struct tags that kong uses, with
// the same result. Without it each run would build kong's model of all commands, which takes longer
// than a short command.
//
// It returns false for arguments that it does not understand, and for errors. kong then parses the
// arguments again. TestBothParsersAgree compares the two.
func parseQuickly(args []string, c *runCommand) bool {
	if len(args) > 0 && args[0] == "run" {
		args = args[1:]
	} else if len(args) == 0 || isCommandName(args[0]) {
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

func commandNames() []string {
	commands := reflect.TypeFor[commandLine]()
	names := make([]string, commands.NumField())
	for i := range names {
		names[i] = kebab(commands.Field(i).Name)
	}
	return names
}

func isCommandName(word string) bool { return slices.Contains(commandNames(), word) }

// quickFlags are the flags of a command.
type quickFlags struct {
	command reflect.Value
	given   uint64 // bit i: the flag of field i is on the command line
}

// parse parses the flag at the beginning of args, and returns how many arguments the flag takes.
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

// complete sets the flags that are not on the command line from the environment, or to their
// defaults.
func (q *quickFlags) complete() bool {
	t := q.command.Type()
	for i := range t.NumField() {
		f := t.Field(i)
		if q.given&(1<<i) != 0 || isArgument(f) {
			continue
		}
		text := fromEnvironment(f.Tag.Get("env"))
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

// fromEnvironment returns the value that a variable gives to a flag that is not on the command
// line. It returns "" for an empty variable, which counts as unset, and for a flag without a
// variable.
func fromEnvironment(variable string) string { return os.Getenv(variable) }

func isArgument(f reflect.StructField) bool {
	_, is := f.Tag.Lookup("arg")
	return is
}

// setValue sets a flag. It returns false for a value that is invalid, or that kong may read in
// another way.
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

// kebab returns the name of a field's flag, as kong forms it: busy-exit-code for BusyExitCode.
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
