package tests

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/poolrun/poolrun/pool"
)

// decode decodes JSON as the validator wants it.
func decode(t testing.TB, text string) any {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}

func readSchema(t testing.TB) any {
	t.Helper()
	text, err := os.ReadFile("../docs/status.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return decode(t, string(text))
}

// closeSchema makes a schema refuse every field that it does not describe.
func closeSchema(schema any) {
	switch v := schema.(type) {
	case map[string]any:
		if _, ok := v["properties"]; ok {
			v["additionalProperties"] = false
		}
		for _, below := range v {
			closeSchema(below)
		}
	case []any:
		for _, below := range v {
			closeSchema(below)
		}
	}
}

func compile(t testing.TB, schema any) *jsonschema.Schema {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("status.json", schema); err != nil {
		t.Fatal(err)
	}
	compiled, err := c.Compile("status.json")
	if err != nil {
		t.Fatal(err)
	}
	return compiled
}

// statusesOfAllKinds returns what status prints for pools with holders in each state, one of which has
// no command, with waiters, items, a condition, a delay, a notice, and a drain.
func statusesOfAllKinds(t *testing.T) (texts []string) {
	t.Helper()
	full := freeName(t)
	mustRun(t, "init", full, "--item", "a", "--item", "b", "--item", "c", "--item", "d", "--delay", "1us")
	holdSlot(t, full)
	orphan := poolrun(t, "--pool", full, "sleep", "1000")
	mustStart(t, orphan)
	s := waitStatus(t, full, "two commands", func(s status) bool { return s.commands() == 2 })
	end(orphan)
	t.Cleanup(func() { syscall.Kill(s.Holders[1].CommandPID, syscall.SIGKILL) })
	section := command(t, "bash", "-c", "exec 9<$(poolrun path "+full+"); poolrun acquire --fd 9; read line")
	if _, err := section.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	mustStart(t, section)
	waitStatus(t, full, "a descriptor", func(s status) bool { return s.InUse == 3 && s.Holders[2].State == "descriptor" })
	p, err := pool.Open(full)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if _, err := p.TryAcquire(); err != nil {
		t.Fatal(err)
	}
	mustStart(t, poolrun(t, "--pool", full, "-k", "2", "--priority", "-3", "true"))
	waitForLine(t, full, 1)
	mustStart(t, poolrun(t, "--pool", full, "-k", "all", "true"))
	waitForLine(t, full, 2)

	held := newPool(t, 2)
	mustSem(t, "wait", held)
	mustStart(t, poolrun(t, "--pool", held, "--memfree", "1000T", "true"))
	waitStatus(t, held, "a condition", func(s status) bool { return s.Waiting == 1 && s.Waiters[0].WaitsFor == "1000 TB of free memory" })

	drained := newPool(t, 1)
	holdSlot(t, drained)
	mustStart(t, poolrun(t, "destroy", drained, "--drain"))
	waitStatus(t, drained, "a drain", func(s status) bool { return s.Draining })

	for _, args := range [][]string{{full}, {held}, {drained}, {newPool(t, 1)}} {
		texts = append(texts, mustRun(t, append([]string{"status", "--format", "json"}, args...)...))
	}
	var all []json.RawMessage // and pools of others
	list, _ := outputs(t, poolrun(t, "status", "--format", "json"))
	if err := json.Unmarshal([]byte(list), &all); err != nil {
		t.Fatal(err)
	}
	all = slices.DeleteFunc(all, func(one json.RawMessage) bool { return !strings.Contains(string(one), `"`+full+`"`) })
	if len(all) != 1 {
		t.Fatalf("%s is not in %s", full, list)
	}
	return append(texts, fmt.Sprintf("[%s]", all[0]))
}

// The schema describes each field that status prints, and nothing that it does not print. It permits
// fields of later versions.
func TestTheSchemaDescribesTheStatus(t *testing.T) {
	onlyOnce(t)
	published := compile(t, readSchema(t))
	closed := readSchema(t)
	closeSchema(closed)
	strict := compile(t, closed)

	texts := statusesOfAllKinds(t)
	for _, text := range []string{`"state":"running"`, `"state":"orphaned"`, `"state":"descriptor"`, `"command_pid":null`, `"item":"a"`,
		`"waits_for":"2 slots"`, `"waits_for":"1000 TB of free memory"`, `"notices":["`, `"draining":true`, `"delay_seconds":0.000001`} {
		if !strings.Contains(strings.Join(texts, ""), text) {
			t.Errorf("no status has %s", text)
		}
	}
	for _, text := range texts {
		if err := strict.Validate(decode(t, text)); err != nil {
			t.Errorf("%v\n%s", err, text)
		}
		v := decode(t, text)
		eachObject(v, func(object map[string]any) {
			for _, name := range slices.Collect(maps.Keys(object)) {
				value := object[name]
				delete(object, name)
				if published.Validate(v) == nil {
					t.Errorf("the schema does not require %s", name)
				}
				object[name] = map[string]any{} // no field may be this
				if published.Validate(v) == nil {
					t.Errorf("the schema permits any value of %s", name)
				}
				object[name] = value
			}
			object["new_field"] = json.Number("1")
			if err := published.Validate(v); err != nil {
				t.Errorf("the schema does not permit a new field: %v", err)
			}
			if strict.Validate(v) == nil {
				t.Error("a field that is not described is not noticed")
			}
			delete(object, "new_field")
		})
	}
	if published.Validate(decode(t, strings.Replace(texts[0], "orphaned", "lost", 1))) == nil {
		t.Error("the schema permits any state")
	}
}

func eachObject(v any, f func(map[string]any)) {
	switch v := v.(type) {
	case map[string]any:
		f(v)
		for _, below := range v {
			eachObject(below, f)
		}
	case []any:
		for _, below := range v {
			eachObject(below, f)
		}
	}
}

// The examples in docs/status.md are valid, and its tables list the fields of the log and all metrics.
func TestTheOutputForProgramsIsDocumented(t *testing.T) {
	onlyOnce(t)
	page, err := os.ReadFile("../docs/status.md")
	if err != nil {
		t.Fatal(err)
	}
	examples := regexp.MustCompile("(?s)```json\n(.*?)```").FindAllStringSubmatch(string(page), -1)
	if len(examples) != 2 {
		t.Fatalf("%d examples", len(examples))
	}
	if err := compile(t, readSchema(t)).Validate(decode(t, examples[0][1])); err != nil {
		t.Error(err)
	}

	name, file := newPool(t, 1), filepath.Join(t.TempDir(), "log")
	mustRun(t, "--pool", name, "--log", file, "true")
	line, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	_, log, _ := strings.Cut(string(page), "\n## Log\n")
	_, metrics, _ := strings.Cut(string(page), "\n## Metrics\n")
	metrics, _, _ = strings.Cut(metrics, "\n## ")
	firstCells := regexp.MustCompile("(?m)^\\| `(\\w+)`")
	wantSame(t, "fields of the log", keysOf(t, line), allMatches(firstCells, log))
	wantSame(t, "fields of the example of the log", keysOf(t, line), keysOf(t, []byte(examples[1][1])))
	real := mustRun(t, "status", name, "--format", "prometheus")
	wantSame(t, "metrics", allMatches(regexp.MustCompile(`(?m)^# TYPE (\w+)`), real), allMatches(firstCells, metrics))
}

// keysOf lists the keys of a JSON object, in their order.
func keysOf(t testing.TB, text []byte) (keys []string) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(text))
	d.Token() // the brace
	for d.More() {
		key, err := d.Token()
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key.(string))
		var value any
		if err := d.Decode(&value); err != nil {
			t.Fatal(err)
		}
	}
	return keys
}

// allMatches lists what the first group of a regular expression matches.
func allMatches(expression *regexp.Regexp, text string) (list []string) {
	for _, match := range expression.FindAllStringSubmatch(text, -1) {
		list = append(list, match[1])
	}
	return list
}

func wantSame(t testing.TB, what string, real, documented []string) {
	t.Helper()
	if !slices.Equal(real, documented) || len(real) == 0 {
		t.Errorf("%s: %q, but documented are %q", what, real, documented)
	}
}
