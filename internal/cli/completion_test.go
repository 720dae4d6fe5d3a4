package cli

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// In each script, the part about a command names all its flags.
func TestCompletionScriptsHaveAllFlags(t *testing.T) {
	model := newParser(new(commandLine)).Model
	for _, shell := range []struct {
		name        string
		part        string // %s: the command
		long, short string // %s: the flag
	}{
		{"bash", `(?s)\n\t%s\)\n.*?;;`, `[ (]--%s[ =)]`, `[ (]-%s[ =)]`},
		{"zsh", `(?s)\n\t%s\)\n.*?;;`, `\)--%s[=\[]|'\*--%s=`, `\)-%s[+\[]`},
		{"fish", `(?m)^complete -c poolrun -n '__poolrun_at %s[ '](.+\n)+`, ` -l %s `, ` -s %s `},
	} {
		script := completionScript(shell.name, model)
		find := func(text, expression, name string) string {
			return regexp.MustCompile(strings.ReplaceAll(expression, "%s", regexp.QuoteMeta(name))).FindString(text)
		}
		for _, command := range model.Children {
			part := find(script, shell.part, command.Name)
			for _, flag := range command.Flags {
				if find(part, shell.long, flag.Name) == "" {
					t.Errorf("%s: %s has no --%s", shell.name, command.Name, flag.Name)
				}
				if flag.Short != 0 && find(part, shell.short, string(flag.Short)) == "" {
					t.Errorf("%s: %s has no -%c", shell.name, command.Name, flag.Short)
				}
			}
		}
	}
}

// The tag "complete" of a field is a kind that the scripts know.
func TestCompletionKinds(t *testing.T) {
	kinds := []completionKind{completeNothing, completePool, completeSlot, completeGroup, completeFile, completeCommand}
	for _, command := range newParser(new(commandLine)).Model.Children {
		for _, value := range command.Values() {
			c := completionOf(value)
			if c.kind != completeWords && !slices.Contains(kinds, c.kind) {
				t.Errorf("%s: the kind %q of %s", command.Name, c.kind, value.Name)
			}
			if c.kind == completeWords && len(c.words) == 0 {
				t.Errorf("%s: no words for %s", command.Name, value.Name)
			}
		}
	}
}
