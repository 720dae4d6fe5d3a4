package tests

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The man page is held to the help of each command, which is made of the struct tags.

// An option is one of a command, as the help or the man page shows it.
type option struct {
	short, long string
	hasValue    bool
	variable    string // in the help only
}

// name is what an option is compared by.
func (o option) name() string {
	name := "--" + o.long
	if o.short != "" {
		name = "-" + o.short + ", " + name
	}
	if o.hasValue {
		name += " VALUE"
	}
	return name
}

var (
	optionOfHelp   = regexp.MustCompile(`^ {2,6}(?:-(\w), )?--([a-z-]+)(=\S+)?`)
	variableOfHelp = regexp.MustCompile(`\(\$(POOLRUN_\w+)\)`)
)

// optionsOfHelp lists the options of a command, except for --help.
func optionsOfHelp(t testing.TB, command string) (options []option) {
	t.Helper()
	_, flags, _ := strings.Cut(mustRun(t, command, "--help"), "\nFlags:\n")
	flags, _, _ = strings.Cut(flags, "\nExamples:\n")
	for line := range strings.Lines(flags) {
		if m := optionOfHelp.FindStringSubmatch(line); m != nil {
			options = append(options, option{short: m[1], long: m[2], hasValue: m[3] != ""})
		}
		if m := variableOfHelp.FindStringSubmatch(line); m != nil {
			options[len(options)-1].variable = m[1]
		}
	}
	if len(options) == 0 || options[0].long != "help" {
		t.Fatalf("%s: options %v", command, options)
	}
	return options[1:]
}

// A manual is the source of the man page, in lines.
type manual []string

func readManual(t testing.TB) manual {
	t.Helper()
	text, err := os.ReadFile("../docs/poolrun.1")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
}

// part is what stands between a heading, .Sh or .Ss with a title, and the next heading of that kind.
func (m manual) part(kind, title string) manual {
	begin := slices.Index(m, kind+" "+title) + 1
	if begin == 0 {
		return nil
	}
	rest := m[begin:]
	if end := slices.IndexFunc(rest, func(line string) bool { return strings.HasPrefix(line, kind+" ") }); end >= 0 {
		rest = rest[:end]
	}
	return rest
}

// optionItem matches the line of a list that describes an option.
var optionItem = regexp.MustCompile(`^\.It Fl (?:(\w) , )?-([a-z-]+)( (?:Ar|Cm) .*)?$`)

// options lists the options that a part describes.
func (m manual) options() (options []option) {
	for _, line := range m {
		if match := optionItem.FindStringSubmatch(line); match != nil {
			options = append(options, option{short: match[1], long: match[2], hasValue: match[3] != ""})
		}
	}
	return options
}

// flags lists the options that macros name anywhere in a part: "x" for -x, "-long" for --long. Several
// short ones can be one word.
func (m manual) flags() (flags []string) {
	for _, line := range m {
		words := strings.Fields(line)
		for i, word := range words {
			if !strings.HasPrefix(line, ".") || word != "Fl" && word != ".Fl" || i+1 == len(words) || words[i+1] == "-" {
				continue
			}
			if flag := words[i+1]; strings.HasPrefix(flag, "-") {
				flags = append(flags, flag)
			} else {
				flags = append(flags, strings.Split(flag, "")...)
			}
		}
	}
	return flags
}

// literals lists the lines that are to be typed as they are, in a shell or elsewhere.
func (m manual) literals() (lines []string) {
	unescape := strings.NewReplacer(`\-`, "-", `\(aq`, "'", `\(dq`, `"`, `\&`, "", `\e`, `\`).Replace
	isLiteral := false
	for _, line := range m {
		text, isOne := strings.CutPrefix(line, ".Dl ")
		switch {
		case strings.HasPrefix(line, ".Bd -literal"):
			isLiteral = true
		case line == ".Ed":
			isLiteral = false
		case isOne, isLiteral:
			lines = append(lines, unescape(text))
		}
	}
	return lines
}

func TestTheManPageHasNoFaults(t *testing.T) {
	onlyOnce(t)
	mandoc, err := exec.LookPath("mandoc")
	if err != nil {
		t.Skip(err)
	}
	out, err := exec.Command(mandoc, "-T", "lint", "../docs/poolrun.1").CombinedOutput()
	for line := range strings.Lines(string(out)) {
		// Which other manuals are there is a matter of this machine.
		if !strings.Contains(line, "mandoc.db") && !strings.Contains(line, "referenced manual not found") {
			t.Error(line)
		}
	}
	if len(out) == 0 && err != nil {
		t.Error(err)
	}
}

// Each command has a section, with the options of its help and no others. The synopsis has them too.
func TestTheManPageHasEachCommandAndOption(t *testing.T) {
	onlyOnce(t)
	page := readManual(t)
	commands := page.part(".Sh", "COMMANDS")
	names := commandsOfHelp(t)
	var titles []string
	for _, line := range commands {
		if title, ok := strings.CutPrefix(line, ".Ss "); ok {
			titles = append(titles, title)
		}
	}
	wantSame(t, "commands", names, titles)

	synopsis := map[string]manual{}
	name := ""
	for _, line := range page.part(".Sh", "SYNOPSIS") {
		word, isCommand := strings.CutPrefix(strings.TrimPrefix(line, ".Op Cm "), ".Cm ")
		switch {
		case line == ".Nm":
			name = ""
		case name == "" && (isCommand || line == ".Op Cm run"):
			name = word
			synopsis[name] = manual{}
		default:
			synopsis[name] = append(synopsis[name], line)
		}
	}

	every := map[string]bool{"h": true, "-help": true}
	for _, name := range names {
		var want, got, wantInSynopsis []string
		for _, o := range optionsOfHelp(t, name) {
			want = append(want, o.name())
			every[o.short], every["-"+o.long] = true, true
			if o.short != "" {
				wantInSynopsis = append(wantInSynopsis, o.short)
			} else {
				wantInSynopsis = append(wantInSynopsis, "-"+o.long)
			}
		}
		for _, o := range commands.part(".Ss", name).options() {
			got = append(got, o.name())
		}
		gotInSynopsis := synopsis[name].flags()
		for _, list := range [][]string{want, got, wantInSynopsis, gotInSynopsis} {
			slices.Sort(list)
		}
		if !slices.Equal(want, got) {
			t.Errorf("%s has the options %q, but in the man page %q", name, want, got)
		}
		if !slices.Equal(wantInSynopsis, gotInSynopsis) {
			t.Errorf("%s has the options %q, but in the synopsis %q", name, wantInSynopsis, gotInSynopsis)
		}
		if synopsis[name] == nil {
			t.Errorf("%s is not in the synopsis", name)
		}
	}
	if len(synopsis) != len(names) {
		t.Errorf("the synopsis has %d commands, not %d", len(synopsis), len(names))
	}
	for _, flag := range page.flags() {
		if !every[flag] {
			t.Errorf("no command has the option -%s", flag)
		}
	}
	for _, flag := range []string{"h", "-help"} {
		if !slices.Contains(page.part(".Sh", "DESCRIPTION").flags(), flag) {
			t.Errorf("-%s is not described", flag)
		}
	}
}

// callOfPoolrun matches a call of poolrun in a line for a shell, up to the command that it runs.
var callOfPoolrun = regexp.MustCompile(`\bpoolrun((?: +[^ |&>)]+)+)`)

// The examples in the man page use the options of the commands that they call.
func TestTheExamplesOfTheManPageUseOptionsThatExist(t *testing.T) {
	onlyOnce(t)
	names := commandsOfHelp(t)
	options := map[string][]string{}
	for _, name := range names {
		for _, o := range optionsOfHelp(t, name) {
			options[name] = append(options[name], "-"+o.short, "--"+o.long)
		}
	}
	used := map[string]bool{}
	for _, line := range readManual(t).literals() {
		for _, call := range callOfPoolrun.FindAllStringSubmatch(line, -1) {
			words := strings.Fields(call[1])
			name := "run"
			if slices.Contains(names, words[0]) {
				name, words = words[0], words[1:]
			}
			used[name] = true
			for _, word := range words {
				if word == "--" {
					break
				}
				if strings.HasPrefix(word, "-") && !slices.Contains(options[name], word) {
					t.Errorf("%s: %s has no option %s", line, name, word)
				}
			}
		}
	}
	if len(used) < 8 {
		t.Errorf("examples of %v only", used)
	}
}

// ENVIRONMENT lists the variables that poolrun reads instead of options, and those that it sets.
func TestTheManPageHasEachVariable(t *testing.T) {
	onlyOnce(t)
	read := map[string]string{}
	for _, name := range commandsOfHelp(t) {
		for _, o := range optionsOfHelp(t, name) {
			if o.variable != "" {
				read[o.variable] = ".Fl -" + o.long
			}
		}
	}
	name := freeName(t)
	mustRun(t, "init", name, "--item", "x")
	set := allMatches(regexp.MustCompile(`(?m)^(POOLRUN_\w+)=`), mustRun(t, "--pool", name, "env"))
	slices.Sort(set)

	section := readManual(t).part(".Sh", "ENVIRONMENT")
	documented, alsoSet := map[string]string{}, []string{}
	for i, line := range section {
		variable, ok := strings.CutPrefix(line, ".It Ev POOLRUN_")
		switch {
		case !ok:
		case strings.HasPrefix(section[i+1], ".Fl "):
			documented["POOLRUN_"+variable] = section[i+1]
		default:
			alsoSet = append(alsoSet, "POOLRUN_"+variable)
		}
	}
	if !maps.Equal(read, documented) || len(read) == 0 {
		t.Errorf("variables %v, but in the man page %v", read, documented)
	}
	slices.Sort(alsoSet)
	wantSame(t, "variables of the command", set, alsoSet)
}

// LOG FORMAT lists the fields of the log, and has an example.
func TestTheManPageHasTheFormatOfTheLog(t *testing.T) {
	onlyOnce(t)
	name, file := newPool(t, 1), filepath.Join(t.TempDir(), "log")
	mustRun(t, "--pool", name, "--log", file, "true")
	line, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	section := readManual(t).part(".Sh", "LOG FORMAT")
	var fields []string
	for _, line := range section {
		if field, ok := strings.CutPrefix(line, ".It "); ok {
			fields = append(fields, field)
		}
	}
	wantSame(t, "fields of the log", keysOf(t, line), fields)
	wantSame(t, "fields of the example", keysOf(t, line), keysOf(t, []byte(strings.Join(section.literals(), ""))))
}
